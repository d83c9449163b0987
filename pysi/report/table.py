"""A table of text: written once, printed as plain text, Markdown or HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Table:
    """Rows of text below a head.

    Attributes
    ----------
    head : sequence of str
        The names of the columns.
    rows : sequence of sequence of str
        One cell per column.
    caption : str
        What the table shows: a sentence.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def markdown(self) -> str:
        """Return it as a Markdown table, without its caption."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
                         for line in lines)  # fmt: skip

    def html(self) -> str:
        """Return it as an HTML table; everything in it is escaped."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.head)
        body = "".join(
            "<tr>"
            + f'<th scope="row">{escape(row[0])}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
            + "</tr>\n"
            for row in self.rows
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="table"><table>{caption}\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody></table></div>\n"
        )

    def text(self) -> str:
        """Return it as plain text, below its caption."""
        lines = [list(self.head), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join(f"{cell:<{n}}" for cell, n in zip(line, widths, strict=True)).rstrip()
                for line in lines]  # fmt: skip
        return "\n".join(([self.caption + ":", ""] if self.caption else []) + rows)
