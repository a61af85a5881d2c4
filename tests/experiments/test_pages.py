"""What a person wrote on a page stays when a command writes its figures there."""

from pathlib import Path

from experiments import pages


def test_a_table_goes_between_its_marks_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Mine\n\n<!-- games -->\nold\n<!-- end of games -->\n\nMore of mine\n")
    for _ in range(2):
        pages.put(page, "games", "| new |")
        assert page.read_text() == "# Mine\n\n<!-- games -->\n| new |\n<!-- end of games -->\n\nMore of mine\n"


def test_a_page_without_marks_is_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for text in ("one", "other"):
        pages.put(page, "games", text)
        assert page.read_text() == f"{text}\n"
