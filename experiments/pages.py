"""Pages of Markdown that a person wrote round what a command measures."""

from pathlib import Path


def put(page: Path, name: str, text: str) -> None:
    """Writes text into a page: between `<!-- name -->` and `<!-- end of name -->` where these are, else all of it."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    there = page.read_text() if page.is_file() else ""
    if begin in there and end in there:
        text = f"{there.partition(begin)[0]}{begin}\n{text}\n{end}{there.partition(end)[2]}"
    page.write_text(text.rstrip("\n") + "\n")
