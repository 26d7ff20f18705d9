"""The package as users get it: built, looked at, installed beside an Airflow, and gone again without a trace."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from email.message import Message
from email.parser import Parser
from importlib.metadata import distributions, version
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from readme_renderer import markdown
from uv import find_uv_bin

from airflow_provider_impactcall import __version__
from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR, HOOK_NAME
from tests import start_here
from tests.documentation import START

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = "airflow-provider-impactcall"
PACKAGE = "airflow_provider_impactcall"
STEM = f"{PACKAGE}-{__version__}"
HOOK = f"{PACKAGE}.hooks.impactcall.ImpactCallHook"
AIRFLOW = Version(version("apache-airflow"))
(PROJECT_COMMAND,) = PROJECT["scripts"]

FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = [each for each in HookMetaService.hook_meta_data() if each.connection_type == "impactcall"]
print(form.model_dump_json())
"""

VALIDATED = f"""
import json
from importlib.metadata import entry_points, version
from importlib.resources import files
import jsonschema
(ours,) = [each for each in entry_points(group="apache_airflow_provider") if each.dist.name == {NAME!r}]
schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
info = ours.load()()
jsonschema.validate(info, schema)
print(info["package-name"], version("apache-airflow"))
"""

END = "--- answered ---"
# In one process, as each begins with seconds of imports.
ONE_AFTER_THE_OTHER = f"""
import json, sys
from airflow.__main__ import main
for sys.argv in json.loads(sys.argv[1]):
    main()
    print({END!r}, flush=True)
"""

ENTRY_POINTS = """
from importlib.metadata import distributions
print(*(f"{each.name} {point.value}" for each in distributions() for point in each.entry_points))
"""


def uv(*arguments: str | Path) -> None:
    # As the Makefile does: behind a proxy that looks into TLS, only the system knows its certificate.
    environment = {**os.environ, "UV_SYSTEM_CERTS": "true"}
    done = subprocess.run(
        [find_uv_bin(), *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source distribution, and of the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"{STEM}-py3-none-any.whl"


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{STEM}.dist-info/METADATA").decode())


@pytest.fixture(scope="module")
def source_names(built: Path) -> set[str]:
    """The files of the source distribution."""
    with tarfile.open(built / f"{STEM}.tar.gz") as archive:
        return {member.name.removeprefix(f"{STEM}/") for member in archive if member.isfile()}


def package_files() -> set[str]:
    """The package's files, without what Python leaves beside them."""
    return {
        str(file.relative_to(ROOT))
        for file in (ROOT / PACKAGE).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    about = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        licence = archive.read(f"{STEM}.dist-info/licenses/LICENSE")
    assert sorted(names) == sorted(package_files() | {f"{STEM}.dist-info/{name}" for name in about})
    for name in ("py.typed", "pages/static/base.css", "sandbox/static/index.html"):
        assert f"{PACKAGE}/{name}" in names
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_the_source_distribution_holds_what_it_takes_to_build_and_test(source_names: set[str]) -> None:
    assert package_files() <= source_names
    assert {"PKG-INFO", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= source_names
    assert f"{PACKAGE}/sandbox/static/index.html" in source_names
    kinds = {Path(name).suffix for name in source_names if "/" in name and not name.startswith(".ci/")}
    of_the_field = {".csv", ".jsonl", ".sql", ".yaml"}
    of_the_code = {".py", ".typed", ".html", ".js", ".css", ".json", ".toml"}
    assert kinds <= {*of_the_field, *of_the_code, ".md", ".golden", ".svg", ".png", ".txt"}, "what a run left behind"
    assert {
        "Makefile",
        "mkdocs.yml",
        ".airflow-registry.yaml",
        ".ci/run",
        "constraints/airflow-3.3.2.txt",
    } <= source_names


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only git knows which files are the project's")
def test_the_source_distribution_holds_no_stray_files(source_names: set[str]) -> None:
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split("\0")
    assert source_names - {"PKG-INFO"} <= set(listed)


def test_the_source_distribution_and_the_repository_make_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """The one of the fixture was built from the source distribution."""
    uv("build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT)
    with ZipFile(wheel) as theirs, ZipFile(tmp_path / wheel.name) as ours:
        assert {name: theirs.read(name) for name in theirs.namelist()} == {
            name: ours.read(name) for name in ours.namelist()
        }


def test_the_metadata_says_what_the_project_says(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == (NAME, __version__)
    assert metadata["Summary"] == PROJECT["description"]
    assert (metadata["License-Expression"], metadata.get_all("License-File")) == ("Apache-2.0", ["LICENSE"])
    extras = PROJECT["optional-dependencies"]
    wanted = {Requirement(text) for text in PROJECT["dependencies"]}
    wanted |= {Requirement(f'{text}; extra == "{extra}"') for extra, texts in extras.items() for text in texts}
    assert {Requirement(text) for text in metadata.get_all("Requires-Dist", [])} == wanted
    assert metadata.get_all("Provides-Extra") == list(extras)


def test_the_classifiers_say_what_the_requirement_allows(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier", [])
    assert {"Framework :: Apache Airflow :: Provider", "Typing :: Typed"} <= set(classifiers)
    pythons = [text.rpartition(" ")[2] for text in classifiers if re.fullmatch(r".* :: 3\.\d+", text)]
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in pythons, "no Python is tested that is not named"
    allowed = SpecifierSet(metadata["Requires-Python"])
    assert all(python in allowed for python in pythons)
    assert f"3.{min(int(python.partition('.')[2]) for python in pythons) - 1}" not in allowed


def test_the_readme_renders_and_leads_to_what_is_there(metadata: Message, source_names: set[str]) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = str(metadata.get_payload())
    complaints = io.StringIO()
    shown = markdown.render(text, stream=complaints)
    assert shown is not None, complaints.getvalue()
    assert complaints.getvalue() == ""
    prose = re.sub(r"(?s)<pre.*?</pre>", "", shown)
    assert "|---" not in prose, "a table that is none"
    assert "```" not in prose, "code that is none"
    assert shown.count("<table>") == len(re.findall(r"(?m)^\|---", text))
    links = re.findall(r'(?:href|src)="([^"]+)"', shown)
    local = {link.partition("#")[0] for link in links if not re.match(r"https?:|#", link)}
    there = source_names | {parent.as_posix() for name in source_names for parent in Path(name).parents}
    assert local <= there


class Installed:
    """An environment with Airflow and the wheel, and nothing else but what they require.

    :param folder: of the environment, and of its Airflow's home
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))},
            "AIRFLOW_HOME": str(folder / "home"),
            # A narrow terminal's tables would cut names.
            "COLUMNS": "400",
        }

    def run(self, *command: str) -> str:
        """What a command prints that has to succeed."""
        done = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            # Not the repository: what lies there could be imported instead.
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def providers(self, *questions: str) -> list[list[dict[str, str]]]:
        """What Airflow's command answers about its providers, each question in words as a shell takes them."""
        commands = [["airflow", "providers", *question.split(), "--output", "json"] for question in questions]
        printed = self.run("python", "-c", ONE_AFTER_THE_OTHER, json.dumps(commands))
        answers: list[list[dict[str, str]]] = []
        for each in printed.split(END)[:-1]:
            # Below Airflow's log, each line of which begins with a time in brackets.
            found = re.search(r"(?m)^\[(?=[{\]])", each)
            assert found, each
            answers.append(json.loads(each[found.start() :]))
        assert len(answers) == len(questions), printed
        return answers

    def traces(self) -> list[str]:
        """The paths that bear this package's name or its command's."""
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*impactcall*")
            if "home" not in path.relative_to(self.folder).parts
        )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own, with the versions that run these tests."""
    folder = tmp_path_factory.mktemp("installed")
    versions = {each.metadata["Name"]: each.version for each in distributions()}
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={number}\n" for name, number in versions.items() if name != NAME))
    uv("venv", "--quiet", "--python", sys.executable, folder / "environment")
    environment = Installed(folder / "environment")
    uv("pip", "install", "--quiet", "--python", environment.python, "--constraint", constraints, wheel)
    return environment


def row_of(rows: Sequence[dict[str, str]], column: str, value: str) -> dict[str, str]:
    (row,) = [row for row in rows if row[column] == value]
    return row


def test_airflow_lists_the_provider_its_hook_and_its_form(installed: Installed) -> None:
    listed, got, hooks, described, widgets = installed.providers(
        "list", f"get {NAME}", "hooks", "behaviours", "widgets"
    )
    assert row_of(listed, "package_name", NAME)["version"] == __version__
    assert row_of(got, "Provider", NAME)["Version"] == __version__
    hook = row_of(hooks, "connection_type", "impactcall")
    assert (hook["class"], hook["hook_name"], hook["package_name"]) == (HOOK, HOOK_NAME, NAME)
    behaviours = [row["field_behaviours"] for row in described]
    fields = {row["connection_parameter_name"] for row in widgets}
    if AIRFLOW.release[:2] in ((3, 0), (3, 1)):
        assert not behaviours + list(fields), "Airflow 3.0 and 3.1 list no provider's, as they come without wtforms"
    else:
        assert "impactcall" in behaviours
        assert {f"extra__impactcall__{name}" for name in CONNECTION_FIELDS} <= fields


@pytest.mark.skipif(AIRFLOW.major < 3, reason="the form of Airflow 2 is made of what its commands list")
def test_the_ui_is_given_the_form(installed: Installed) -> None:
    printed = installed.run("python", "-c", FORM)
    form = json.loads(printed.splitlines()[-1])
    assert (form["hook_name"], form["hook_class_name"]) == (HOOK_NAME, HOOK)
    if AIRFLOW.release[:2] == (3, 0):
        assert not form["extra_fields"], "Airflow 3.0 shows a provider's fields only where another one brings wtforms"
        assert not form["standard_fields"]
        return
    assert list(form["extra_fields"]) == list(CONNECTION_FIELDS)
    standard = form["standard_fields"]
    titles = {name: standard[name]["title"] for name in FIELD_BEHAVIOUR["relabeling"]}
    assert titles == FIELD_BEHAVIOUR["relabeling"]
    assert standard["url_schema"]["hidden"]


def test_its_metadata_follows_the_schema_of_that_airflow(installed: Installed) -> None:
    assert installed.run("python", "-c", VALIDATED).split() == [NAME, str(AIRFLOW)]


def test_the_registry_is_told_what_is_there(installed: Installed) -> None:
    registry = yaml.safe_load((ROOT / ".airflow-registry.yaml").read_text())
    assert (registry["package-name"], registry["description"]) == (NAME, PROJECT["description"])
    named = [each["module"] for kind in ("hooks", "operators", "transfers", "other") for each in registry[kind]]
    assert len(named) >= 8
    code = "\n".join(f"import {name.rpartition('.')[0]}\n{name}" for name in named)
    installed.run("python", "-c", code)


@pytest.mark.skipif(
    f"apache-airflow=={AIRFLOW}" not in START.read_text(),
    reason="the page has another Airflow installed; tests/cli goes through it with each",
)
def test_the_first_page_can_be_followed_from_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    """To a delivery, the requeue of a call after its mapping was mended, and the resolve of an unknown one."""
    path = os.pathsep.join((str(installed.folder / "bin"), os.environ.get("PATH", os.defpath)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    done = start_here.run(tmp_path, path, environment)
    assert len(done) > 20
    for command, shown, printed in done:
        lines = {" ".join(line.split()) for line in printed.splitlines()}
        # But for the rule below a table's head, which is as long as the widest cell.
        wanted = [" ".join(line.split()) for line in shown.splitlines() if line.strip("=+")]
        assert [line for line in wanted if line not in lines] == [], (command, printed)
    log = "".join(printed for _, _, printed in done)
    said = re.findall(
        r"`(\d+ rows are [^`]+|rows=[^`]+)`|^(impact\.com calls: .+) \.\.\.$", START.read_text(), re.MULTILINE
    )
    assert len(said) == 3
    for text in map("".join, said):
        assert text in log, text


def test_its_command_runs(installed: Installed) -> None:
    assert "reconcile" in installed.run("impactcall", "--help")


def test_uninstalled_it_leaves_no_trace(installed: Installed) -> None:
    """The last of this module: what the others did with it has left its traces by now."""
    assert f"bin/{PROJECT_COMMAND}" in installed.traces()
    uv("pip", "uninstall", "--quiet", "--python", installed.python, NAME)
    assert installed.traces() == []
    (listed,) = installed.providers("list")
    assert NAME not in {row["package_name"] for row in listed}
    groups = installed.run("python", "-c", ENTRY_POINTS)
    assert "impactcall" not in groups
    assert "apache-airflow-providers-http" in groups, "the others are still there"
