"""An evaluation as it is read: sentences and tables, group by group; for a terminal or a page."""

from collections.abc import Iterator
from typing import NamedTuple

from dwijax.evaluation.common.tables import Table


class Section(NamedTuple):
    """One group of subjects: what it is, what comes out in sentences, tables."""

    title: str
    facts: list[str]
    headlines: list[str]
    tables: list[Table]


class Document(NamedTuple):
    """Lines about the whole evaluation, its `Section`\\ s, and what could not be made."""

    facts: list[str]
    sections: list[Section]
    not_made: list[str]

    def text(self) -> str:
        """For a terminal: what it all comes to is read last."""
        parts = ["\n".join(self.facts)]
        for section in self.sections:
            parts += ["\n".join(["=" * 100, section.title, *section.facts]),
                      *(table.text() for table in section.tables), "\n".join(section.headlines)]
        if self.not_made:
            parts.append("\n".join(["Not made:", *(f"- {line}" for line in self.not_made)]))
        return "\n" + "\n\n".join(parts) + "\n"

    def markdown(self) -> str:
        """The same as Markdown: what it all comes to is read first."""
        lines = ["# Evaluation", "", *(f"- {line}" for line in self.facts), ""]
        for section in self.sections:
            lines += [f"## {section.title}", "",
                      *(f"- {line}" for line in (*section.facts, *section.headlines)), ""]
            for table in section.tables:
                lines += [table.markdown(), ""]
        if self.not_made:
            lines += ["## Not made", "", *(f"- {line}" for line in self.not_made), ""]
        return "\n".join(lines)


def warnings_of_group(name: str, origin: str, subjects: int,
                      within_subject: bool) -> Iterator[str]:
    """What has to be known of a group before its numbers are read."""
    if origin.startswith("phantom"):
        yield f"{name}: simulated subjects ({origin})."
    if subjects == 1 and not within_subject:
        yield f"{name}: one subject; there is no interval over subjects."
