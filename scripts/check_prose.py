"""Check of CONTRIBUTING.md's rules of prose: of docstrings in Python, and of "is no" in any text.

    python3 scripts/check_prose.py

The words are those of the rule for Rust, shared/tests/rules/prose.rs. No class or module may begin with a
verb that begins a function.
"""
import ast
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUST_RULE = "shared/tests/rules/prose.rs"
# "There is no" is plain English, and so are "no longer", "no more than" and "no less than".
IS_NO = re.compile(r"(?<!\bthere )\b(is|are)\s+((#|//[/!]?)\s+)?no\s+(?!longer\b|more\b|less\b)\w", re.I)


def words(name: str) -> set[str]:
    """Returns the words of a list in the rule for Rust."""
    rule = (ROOT / RUST_RULE).read_text()
    found = re.search(rf"^const {name}: &\[&str\] =\s*&\[(.*?)\];", rule, re.M | re.S)
    return set(re.findall(r'"(\w+)"', found[1]))


OPENINGS = words("OPENINGS")
# Nouns in the plural, which end like verbs in the third person.
NOT_VERBS = words("NOT_VERBS") | {
    "attempts", "bodies", "cases", "deliveries", "directories", "files", "folders", "instructions",
    "invocations", "licences", "metrics", "objects", "requests", "status", "times", "values", "variables",
    "verdicts",
}


def summaries(text: str):
    """Yields the line, the summary and its first word of each docstring, and whether it is a function's."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if docstring := ast.get_docstring(node):
                summary = " ".join(docstring.split("\n\n")[0].split())
                first = re.match(r"\W*([\w'-]*)", summary)[1]
                yield node.body[0].lineno, summary, first, not isinstance(node, (ast.Module, ast.ClassDef))


def main() -> None:
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    found, wrong = [], []
    for name in filter(lambda name: (ROOT / name).is_file(), listed.split("\0")):
        text = (ROOT / name).read_text(encoding="utf-8", errors="ignore")
        if name.endswith(".py") or re.match("#!.*python", text):
            found += [(f"{name}:{line}", *rest) for line, *rest in summaries(text)]
        for match in IS_NO.finditer(text) if name != RUST_RULE else ():
            line = text.count("\n", 0, match.start()) + 1
            wrong.append(f'{name}:{line}: say "is not a", never "is no"')
    is_verb = lambda word: re.search("[^']s$", word) and word.lower() not in NOT_VERBS
    verbs = {first for _, _, first, is_function in found if is_function and is_verb(first)}
    for place, summary, first, is_function in found:
        if first in OPENINGS or not summary.endswith("."):
            wrong.append(f"{place}: no summary begins with this word, and each has a period: {summary}")
        elif is_function != (first in verbs):
            wrong.append(f"{place}: functions alone begin with a verb in the third person: {summary}")
    assert len(found) > 200, len(found)
    print("\n".join([*wrong, f"{len(found)} docstrings: {len(wrong)} places break a rule of prose"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
