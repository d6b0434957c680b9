"""What the other checks take for granted about the folders."""

from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "src" / "headwater"


def test_every_folder_of_the_library_is_a_package() -> None:
    folders = {module.parent for module in LIBRARY.rglob("*.py")}

    # The import contracts silently pass over a folder that is none.
    assert [f for f in sorted(folders) if not (f / "__init__.py").exists()] == []
