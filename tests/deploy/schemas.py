"""Arguments of the Terraform providers, as `schema.json` has them for two versions of each.

`schema.json` was taken from the providers' sources, at the tags of the two versions that it names: the oldest that a
module accepts, and the newest that was read. A line is an argument's type and what the provider says of it: `required`,
`optional`, `computed`, `new` (a change replaces the resource), `conflicts=`, `one_of=`, `some_of=` and `with=` other
arguments, `min=` and `max=` of a list. A block has `members`. `minimum_differs` has the lines of the oldest version
where they differ, and null where it lacks the argument.

The source of opentelekomcloud 1.36.54 was not to be had. Its lines are from the source of October 2024 (88f1cf1), from
single files of later commits (FunctionGraph's functions, LTS), and from the documents of 1.36.54: the functions'
`enable_auth_in_header` is in these alone. `terraform providers schema -json` shows what the provider itself has.
"""
import copy
import json
import pathlib

PATH = pathlib.Path(__file__).with_name("schema.json")
VERSIONS = ("minimum", "newest")


def load() -> dict:
    return json.loads(PATH.read_text())


def types(provider: dict, version: str) -> dict:
    """Returns the types of one of the two versions."""
    found = copy.deepcopy(provider["types"])
    if version == "newest":
        return found
    for name, differences in provider["minimum_differs"].items():
        for path, line in differences.items():
            *outer, last = path.split(".")
            members = found[name]
            for step in outer:
                members = members[step]["members"]
            if line is None:
                del members[last]
            elif isinstance(members[last], dict):
                members[last]["is"] = line
            else:
                members[last] = line
    return found


def flags(argument: str | dict) -> set[str]:
    """Returns what a provider says of an argument, but for its type."""
    return set((argument["is"] if isinstance(argument, dict) else argument).split()[1:])


def named(argument: str | dict, key: str) -> list[str]:
    """Returns the other arguments that `key` names, such as those that an argument excludes."""
    return next((flag.removeprefix(f"{key}=").split(",") for flag in flags(argument) if flag.startswith(f"{key}=")), [])


def problems(where: str, body: dict[str, list], members: dict) -> list[str]:
    """Returns what a provider has against a block: its arguments by name, and for each nested block its own bodies."""
    found = []
    for name, nested in body.items():
        if name not in members or not flags(members[name]) & {"required", "optional"}:
            found.append(f"{where} has no {name}")
            continue
        if isinstance(members[name], dict):
            for inner in nested:
                found += problems(f"{where}.{name}", inner, members[name]["members"])
        for other in named(members[name], "conflicts"):
            if other in body:
                found.append(f"{where}: {name} excludes {other}")
        for other in named(members[name], "with"):
            if other not in body:
                found.append(f"{where}: {name} needs {other}")
    for name, argument in members.items():
        if "required" in flags(argument) and name not in body:
            found.append(f"{where} needs {name}")
        one, some = named(argument, "one_of"), named(argument, "some_of")
        if one and len({name, *one} & set(body)) != 1:
            found.append(f"{where}: exactly one of {sorted({name, *one})}")
        if some and not set(some) & set(body):
            found.append(f"{where}: at least one of {some}")
    return found
