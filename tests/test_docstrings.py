"""Docstrings say what a user needs: every public one something, those of what users import everything.

Griffe reads them, the parser behind the API pages (mkdocstrings brings it): what it does not find is
not on those pages.
"""

import ast
import logging
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

from .test_house import modules

# Methods that click and PyTorch call, whose meaning is theirs.
OF_LIBRARIES = {"convert", "forward", "get_help_record", "get_metavar", "shell_complete"}
FEWEST_WORDS = 5


def public(node: ast.Module | ast.ClassDef, of: str = "") -> Iterator[tuple[str, bool, str | None]]:
    """Name, whether it is a method, and docstring of each public thing in a module or class; no stubs."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.ClassDef) and not each.name.startswith("_"):
            is_stub = ast.unparse(each.body[-1]) == "..." and len(each.body) == 1
            if not is_stub:
                yield f"{of}{each.name}", bool(of), ast.get_docstring(each)
            if isinstance(each, ast.ClassDef):
                yield from public(each, f"{each.name}.")


def test_public_docstrings_say_something():
    """A method needs none of its own where it is a library's, or the base class's, which says it all."""
    found = [(path, *each) for path in modules() for each in public(ast.parse(path.read_text()))]
    documented = {name.rsplit(".", 1)[-1] for _, name, is_method, text in found if is_method and text}
    wrong = []
    for path, name, is_method, text in found:
        if text is None:
            inherits = is_method and name.rsplit(".", 1)[-1] in documented | OF_LIBRARIES
            wrong += [] if inherits else [f"{path}: {name}: no docstring"]
        elif len(text.split()) < FEWEST_WORDS:
            wrong.append(f"{path}: {name}: {text!r} says too little")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def exported(package: Path) -> list[griffe.Object]:
    """The functions and classes that an `__all__` lists."""
    logging.getLogger("griffe").setLevel(logging.CRITICAL)  # annotations are mypy's
    root = griffe.load("fingergen", search_paths=[str(package)], resolve_aliases=True)
    modules, found = [root], {}
    for module in modules:  # which grows
        modules += [each for each in module.modules.values() if not each.is_alias]
        for name in module.exports or []:
            member = module[str(name)]
            thing = member.final_target if member.is_alias and member.resolved else member
            if not thing.is_alias and (thing.is_function or thing.is_class):
                found[thing.path] = thing
    assert len(found) > 60
    return list(found.values())


def methods(thing: griffe.Object) -> Iterator[griffe.Object]:
    """A function itself; a class's public methods, with those of its base classes, and how it is made."""
    if thing.is_function:
        yield thing
        return
    assert isinstance(thing, griffe.Class)
    for each in thing.all_members.values():
        each = each.final_target if each.is_alias else each
        if each.is_function and (not each.name.startswith("_") or each.name == "__init__"):
            yield each


def sections(thing: griffe.Object) -> dict[str, set[str]]:
    """What each section of a docstring explains: names of parameters, attributes or exceptions."""
    if thing.docstring is None:
        return {}
    parsed = thing.docstring.parse("google")
    return {
        each.kind.value: {str(getattr(item, "name", "") or item.annotation) for item in each.value}
        for each in parsed
        if each.kind.value not in ("text", "admonition", "examples")
    }


def ancestors(thing: griffe.Object) -> list[griffe.Class]:
    """A class and its base classes of ours."""
    return [thing, *thing.mro()] if isinstance(thing, griffe.Class) else []


def explained(thing: griffe.Object) -> set[str]:
    """Names of parameters and attributes that a docstring explains, or a base class's."""
    found = [sections(each) for each in (thing, *ancestors(thing))]
    return {name for each in found for kind in ("parameters", "attributes") for name in each.get(kind, ())}


def unexplained_parameters(function: griffe.Object) -> set[str]:
    """Those that neither the function's docstring nor, for `__init__`, the class's explains."""
    collecting = (griffe.ParameterKind.var_positional, griffe.ParameterKind.var_keyword)
    given = {each.name for each in function.parameters if each.kind not in collecting} - {"self", "cls"}
    return (
        given - explained(function) - (explained(function.parent) if function.name == "__init__" else set())
    )


def raised(function: griffe.Object) -> set[str]:
    """Classes of the exceptions that a function's own lines raise."""
    tree = ast.parse(textwrap.dedent(function.source))
    calls = [each.exc for each in ast.walk(tree) if isinstance(each, ast.Raise)]
    return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}


def test_parameters_of_what_users_import_are_explained(exported: list[griffe.Object]):
    """In a function's or method's docstring; a dataclass's fields as attributes, or each below itself."""
    wrong = []
    for thing in exported:
        for method in methods(thing):
            needs_some = method.docstring or method.name == "__init__"
            if needs_some and (missing := unexplained_parameters(method)):
                wrong.append(f"{method.path}: Args: {', '.join(sorted(missing))}")
        if "dataclass" in thing.labels:
            fields = {each.name for each in thing.parameters} - {"self"}
            below = {name for name in fields if name in thing.members and thing.members[name].docstring}
            if missing := fields - below - explained(thing):
                wrong.append(f"{thing.path}: Attributes: {', '.join(sorted(missing))}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_results_of_what_users_import_are_explained(exported: list[griffe.Object]):
    """Under Returns or Yields; a property's docstring is its result's."""
    wrong = [
        f"{method.path}: Returns: {method.returns}"
        for thing in exported
        for method in methods(thing)
        if method.docstring
        and str(method.returns) not in ("None", "NoReturn")
        and not {"returns", "yields"} & sections(method).keys()
    ]
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_errors_of_what_users_import_are_explained(exported: list[griffe.Object]):
    """Whatever a function's own lines raise stands under Raises."""
    wrong = []
    for thing in exported:
        for method in methods(thing):
            missing = raised(method) - sections(method).get("raises", set())
            wrong += [f"{method.path}: Raises: {each}" for each in missing]
    assert not wrong, "\n".join(sorted(set(wrong)))
