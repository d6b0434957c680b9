"""What the documents show runs, and what they link to is there.

A program that names a PostgreSQL database on localhost gets an empty one of its own for it.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])
FENCED = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
POSTGRESQL = re.compile(r"postgresql://localhost/\w+")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def programs() -> list[tuple[str, str]]:
    """Return every document's Python blocks; a document's blocks are one program, in order."""
    found: list[tuple[str, str]] = []
    for document in DOCUMENTS:
        blocks = FENCED.findall(document.read_text())
        if blocks:
            found.append((str(document.relative_to(ROOT)), "\n".join(blocks)))
    return found


@pytest.mark.parametrize(("name", "program"), programs(), ids=[name for name, _ in programs()])
def test_the_code_of_a_document_runs(
    name: str, program: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if POSTGRESQL.search(program):
        database: str = request.getfixturevalue("postgres_database")
        program = POSTGRESQL.sub(database, program)
    file = tmp_path / (Path(name).stem.replace("-", "_").lower() + "_code.py")
    file.write_text(program)

    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    missing = [
        link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()
    ]

    assert missing == []
