"""Mutation testing of the rules: what the tests notice if a rule is changed; ``make mutants``.

``sample.json`` is the list of mutants, drawn once by ``python -m tests.mutants.draw``; a mutant is known by its
function and by its lines before and after, so that other edits leave it as it is. ``subjects.toml`` says where the
rules stand and which tests are to notice, ``survivors.toml`` why a mutant may stay unnoticed.
"""
