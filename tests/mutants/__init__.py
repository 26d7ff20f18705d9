"""Mutation testing of the rules: what the tests notice if a rule is changed; ``make mutants``.

``sample.json`` is the list of mutants, drawn by ``python -m tests.mutants.draw``; a mutant is known by its
function and by its lines before and after, so that other edits leave it as it is. Drawing again replaces only the
mutants whose line no longer exists. ``subjects.toml`` says where the
rules stand and which tests are to notice, ``survivors.toml`` why a mutant may stay unnoticed.
"""

from __future__ import annotations
