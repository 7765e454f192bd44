"""What nbval cannot see in a notebook: one small function a guard, each returning what the writer must do."""

import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

from nbformat import NotebookNode
from nbval.plugin import find_comment_markers, metadata_tags

from book import pictures, text_of
from catvae_lib.classroom.claims import CLAIM_LINE

IGNORE = "nbval-ignore-output"
MOST_CELLS, MOST_LINES, MOST_IGNORED, FEWEST_SOLUTIONS = 30, 20, 0.10, 3
PHRASES = (
    "after this chapter you can",
    "what could go wrong",
    "exercise",
    "what you can now do",
    "references",
)
PRINTS = re.compile(r"^(?:print|claim|claims\.claim|show|plot\.show)\(", re.MULTILINE)
MACHINE = re.compile(r"/(?:home|Users|root|tmp)/|ipykernel_\d+")
WIDGET = "application/vnd.jupyter.widget-view+json"
NOT_COMPARED = {"image/png", "image/jpeg", WIDGET}

# What may hold a decimal number that no cell computed; the order matters.
TYPESET = [
    re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL),  # code block
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^## References\b.*?(?=^#{1,2} |\Z)", re.MULTILINE | re.DOTALL),
    re.compile(r"`[^`]*`"),  # code
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?<!\\)\$(?:[^$\n]|\n(?!\n))+\$"),  # formula
    re.compile(r"https?://[^\s)>]+"),
    re.compile(r"</?[a-zA-Z][^>]*>"),  # HTML tag
    re.compile(r"\[[^\[\]]*\]"),  # citation
]
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+(?:e[-+]?\d+)?(?!\.?\d)")


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """The code cells with their number in the notebook, text cells counted, from 1."""
    return [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def ignored(cell: NotebookNode) -> bool:
    return IGNORE in cell.metadata.get("tags", [])


def compared(cell: NotebookNode) -> bool:
    """Whether nbval compares anything of this cell."""
    kinds = [set(output.get("data", {"text": ""})) - NOT_COMPARED for output in cell.outputs]
    return cell.execution_count is not None and not ignored(cell) and any(kinds)


def counts(notebook: NotebookNode) -> tuple[int, int, int]:
    """Code cells, those that nbval compares, those that it is told to ignore."""
    cells = [cell for _, cell in code_cells(notebook)]
    return len(cells), sum(map(compared, cells)), sum(map(ignored, cells))


def never_executed(notebook: NotebookNode) -> list[str]:
    return [
        f"cell {number} was never executed, so nbval would pass over it: run `make run`"
        for number, cell in code_cells(notebook)
        if cell.execution_count is None
    ]


def out_of_order(notebook: NotebookNode) -> list[str]:
    found = [cell.execution_count for _, cell in code_cells(notebook) if cell.execution_count is not None]
    expected = list(range(1, len(found) + 1))
    return [] if found == expected else [f"cells were executed in the order {found}: run `make run`"]


def cleared_output(notebook: NotebookNode) -> list[str]:
    return [
        f"cell {number} prints or shows something, but stores no output: run `make run`"
        for number, cell in code_cells(notebook)
        if not cell.outputs and (PRINTS.search(cell.source) or ignored(cell))
    ]


def stored_error(notebook: NotebookNode) -> list[str]:
    return [
        f"cell {number} stores the error {output.ename}: mend it, or catch it and print what it says"
        for number, cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error"
    ]


def forbidden_marker(notebook: NotebookNode) -> list[str]:
    """Any way to tell nbval to look away, but for the one tag that we count."""
    findings = []
    for number, cell in code_cells(notebook):
        tags = [tag for tag in cell.metadata.get("tags", []) if tag in metadata_tags and tag != IGNORE]
        if tags or list(find_comment_markers(cell.source)):
            findings.append(f'cell {number} steers nbval: the only way allowed is the tag "{IGNORE}"')
    return findings


def ignored_without_reason(notebook: NotebookNode) -> list[str]:
    return [
        f'cell {number} is ignored without a reason: add reason="..." to its header'
        for number, cell in code_cells(notebook)
        if ignored(cell) and not str(cell.metadata.get("reason", "")).strip()
    ]


def too_much_ignored(notebook: NotebookNode) -> list[str]:
    cells, _, skipped = counts(notebook)
    if skipped <= MOST_IGNORED * cells:
        return []
    return [
        f"{skipped} of {cells} code cells are ignored, more than {MOST_IGNORED:.0%}: print what is stable"
    ]


def compares_nothing(notebook: NotebookNode) -> list[str]:
    return (
        []
        if counts(notebook)[1]
        else ["no cell has an output that nbval compares: print a result or claim it"]
    )


def picture_without_alt(notebook: NotebookNode) -> list[str]:
    """Every picture comes from `plot.show`, which stores its alt text and its name."""
    findings = []
    for number, cell in code_cells(notebook):
        for output in pictures(NotebookNode(cells=[cell])):
            told = output.metadata.get("image/png", {})
            if not told.get("alt") or not told.get("figure"):
                findings.append(f"cell {number} shows a picture without alt text: show it with plot.show")
    return findings


def unstable_text(notebook: NotebookNode) -> list[str]:
    findings = []
    for number, cell in code_cells(notebook):
        if any(output.get("name") == "stderr" for output in cell.outputs):
            findings.append(f"cell {number} stores a warning or another message of stderr: mend its cause")
        if MACHINE.search("\n".join(map(text_of, cell.outputs))):
            findings.append(f"cell {number} stores a path of this machine: do not print it")
    return findings


def stored_widget(notebook: NotebookNode) -> list[str]:
    """A widget without its kernel is dead, and a web page would fetch scripts for it from elsewhere."""
    return [
        f"cell {number} stores a widget: run `make run`, which offers none"
        for number, cell in code_cells(notebook)
        if any(WIDGET in output.get("data", {}) for output in cell.outputs)
    ]


def claim_lines(notebook: NotebookNode) -> list[re.Match[str]]:
    """The lines that `claim` printed."""
    streams = (output for _, cell in code_cells(notebook) for output in cell.outputs)
    return [match for output in streams for match in CLAIM_LINE.finditer(text_of(output))]


def repeated_claim(notebook: NotebookNode) -> list[str]:
    repeated = Counter(match["id"] for match in claim_lines(notebook))
    return [f"{count} claims are named {id}: name each once" for id, count in repeated.items() if count > 1]


def unclaimed_decimal(notebook: NotebookNode) -> list[str]:
    """A decimal number in the text must be the rounding of a number that a claim printed."""
    text = prose(notebook)
    for pattern in TYPESET:
        text = pattern.sub(" ", text)
    printed = [
        match[part] for match in claim_lines(notebook) for part in ("observed", "expected", "tolerance")
    ]
    known = [abs(Decimal(value)) for value in printed if value and Decimal(value).is_finite()]
    return [
        f"the text says {number}, which no claim of this notebook prints: state it with claim(...), "
        "or, if nothing computed it, set it as a $formula$, `code` or a [citation]"
        for number in dict.fromkeys(DECIMAL.findall(text))
        if not any(_rounds_to(value, number) for value in known)
    ]


def _rounds_to(value: Decimal, number: str) -> bool:
    target = Decimal(number)
    if target.as_tuple().exponent < value.as_tuple().exponent:
        return value == target  # more digits than were printed
    return value.quantize(target, rounding=ROUND_HALF_UP) == target


def too_many_cells(notebook: NotebookNode) -> list[str]:
    number_of_cells = len(notebook.cells)
    if number_of_cells <= MOST_CELLS:
        return []
    return [f"{number_of_cells} cells, more than {MOST_CELLS}: merge or split"]


def too_long_cell(notebook: NotebookNode) -> list[str]:
    lengths = [(number, len(cell.source.splitlines())) for number, cell in code_cells(notebook)]
    return [
        f"cell {number} has {lines} lines, more than {MOST_LINES}: split it or move its plot"
        for number, lines in lengths
        if lines > MOST_LINES
    ]


def missing_part(notebook: NotebookNode) -> list[str]:
    text = prose(notebook).lower()
    findings = [
        f'the text lacks "{phrase}": every chapter reads the same way'
        for phrase in PHRASES
        if phrase not in text
    ]
    solutions = [cell for _, cell in code_cells(notebook) if "solution" in cell.metadata.get("tags", [])]
    if len(solutions) < FEWEST_SOLUTIONS:
        findings.append(
            f'{len(solutions)} cells are tagged "solution": at least {FEWEST_SOLUTIONS} exercises, solved'
        )
    if any(not cell.metadata.get("jupyter", {}).get("source_hidden") for cell in solutions):
        findings.append("a solution is stored open: run `make run`")
    return findings


GUARDS = [
    never_executed, out_of_order, cleared_output, stored_error, forbidden_marker, ignored_without_reason,
    too_much_ignored, compares_nothing, picture_without_alt, unstable_text, stored_widget, repeated_claim,
    unclaimed_decimal, too_many_cells, too_long_cell, missing_part,
]  # fmt: skip
