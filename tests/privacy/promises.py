"""The promises of privacy, sentence by sentence, each with the tests that fail if it is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CANARY = "tests/privacy/test_canary.py"
INPUTS = "tests/privacy/test_inputs.py"

GUARANTEES: Mapping[str, Sequence[str]] = {
    "None of them is in a log, at DEBUG either.": [
        f"{CANARY}::test_not_in_what_this_package_logs_at_debug",
        f"{CANARY}::test_no_other_log_line_than_airflows_of_upstream_results",
    ],
    "None is in an error, whatever the endpoint answers or a database's driver says.": [
        "tests/privacy/test_answers.py::test_no_answer_raises_takes_long_or_is_quoted",
        "tests/delivery/wire/test_response.py::test_no_word_of_a_private_value_survives",
        f"{INPUTS}::test_no_driver_quotes_a_value",
        f"{INPUTS}::test_nor_does_mysqls",
        f"{INPUTS}::test_nor_does_sqlite_before_any_row",
        f"{INPUTS}::test_nor_a_function_of_postgresql_that_fails_as_the_query_is_planned",
        "tests/integration/test_files.py::test_no_password_of_a_url_is_repeated",
    ],
    "None is in XCom, a rendered template or a serialized DAG by this package's doing.": [
        f"{CANARY}::test_not_in_our_xcom",
        f"{CANARY}::test_not_in_rendered_templates",
        f"{CANARY}::test_not_in_the_serialized_dag",
        f"{CANARY}::test_nowhere_else_in_the_metadata_database",
        "tests/operators/test_redaction.py::test_literal_rows_beside_a_reference_are_hidden",
        "tests/operators/test_redaction.py::test_what_a_template_gave_is_hidden_too",
    ],
    "None is in what OpenLineage is told.": [
        "tests/privacy/test_lineage.py::test_not_in_the_events_of_lineage",
        "tests/events/test_lineage.py::test_a_query_with_a_value_in_its_text_is_not_told",
    ],
    "None is in the ledger or the rejects file, but for the ids of a call.": [
        f"{CANARY}::test_not_in_the_ledger",
        f"{CANARY}::test_not_in_the_rejects_files",
    ],
    "A name of a column is shown only if all of its input look like names.": [
        f"{INPUTS}::test_no_value_that_was_taken_for_a_name_is_shown",
        "tests/records/test_column_names.py::test_what_may_be_a_value_hides_every_name_beside_it",
    ],
    "A dry run shows two digits of a caller's number, and nothing of a recording.": [
        "tests/delivery/dry_run/test_masking.py::test_a_number_is_found_by_its_digits",
        "tests/delivery/dry_run/test_masking.py::test_a_recording_is_found_by_its_host_and_its_path",
        f"{CANARY}::test_not_in_what_check_gives_out",
    ],
    "What this package makes is its owner's alone: new files have the mode 0600.": [
        f"{CANARY}::test_what_the_tasks_left_behind_is_their_users_alone",
        "tests/hooks/test_impactcall.py::test_what_a_run_leaves_behind_is_its_owners_alone",
    ],
    "No rejects file and no export is written through a link.": [
        "tests/delivery/test_private_files.py::test_no_link_is_followed",
        "tests/cli/test_looking.py::test_a_link_is_refused_and_a_device_is_not_replaced",
    ],
    "No text of a call does anything to a terminal, a log or a spreadsheet.": [
        "tests/cli/test_looking.py::test_no_id_does_anything_to_a_terminal",
        "tests/cli/test_looking.py::test_nor_does_one_that_is_checked",
        "tests/delivery/test_csv_cells.py::test_no_text_begins_a_formula_in_any_cell",
    ],
    "No answer takes the work of more than its first 64 kB, nor holds up other calls.": [
        "tests/delivery/wire/test_response.py::test_no_answer_makes_more_than_so_many_steps",
        "tests/delivery/wire/test_faults.py::test_no_answer_holds_up_the_other_calls",
        "tests/delivery/wire/test_bounded.py::test_no_answer_fills_the_memory",
        "tests/delivery/wire/test_bounded.py::test_no_drip_lasts",
    ],
}
"""The list of *What is private* in ``docs/guarantees.md``."""

README: Mapping[str, Sequence[str]] = {
    "logs (at DEBUG either)": [f"{CANARY}::test_not_in_what_this_package_logs_at_debug"],
    "errors": ["tests/privacy/test_answers.py::test_no_answer_raises_takes_long_or_is_quoted"],
    "XCom": [f"{CANARY}::test_not_in_our_xcom"],
    "rendered templates": [f"{CANARY}::test_not_in_rendered_templates"],
    "the ledger": [f"{CANARY}::test_not_in_the_ledger"],
    "the rejects file": [f"{CANARY}::test_not_in_the_rejects_files"],
}
"""The promises that the README names after *Private by construction*."""
