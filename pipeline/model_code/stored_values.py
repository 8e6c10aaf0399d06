"""Values that a record of a TorchScript file stores, and the types that the file's source declares for them.

torch does not compare the values with the types, but trusts the types. It reads an attribute of an object by its
number, and in an object of another class that number may lie beyond the object's end.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_INTERFACES = frozenset({"Interface", "ModuleInterface"})
_SCALARS: Mapping[str, tuple[type, ...]] = {
    "int": (int,), "float": (float,), "bool": (bool,), "str": (str,), "number": (int, float), "NoneType": (type(None),),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A stored tensor."""


@dataclass(frozen=True)
class Plain:
    """A value that holds no other value: a device, a complex number or an empty ordered dictionary."""


@dataclass(frozen=True)
class Object:
    """An object of a class, or a value of an enumeration."""

    name: str


@dataclass(eq=False)
class Container:
    """A list or a dictionary, which is filled once and gets one type.

    Args:
        kind: `List` or `Dict`.
        parts: values, or pairs of a key and a value; None until it is filled.
        type: type as source writes it; empty until it has one.
    """

    kind: str
    parts: tuple[Any, ...] | None = None
    type: str = ""


@dataclass(frozen=True, kw_only=True)
class DeclaredClass:
    """A class of the file's source.

    Args:
        base: name of the base class, such as `Module`; empty for none.
        attributes: types of its attributes, by name.
        state: type of the argument of `__setstate__`, where the class has it.
        values: values of an enumeration.
        members: names of all attributes, constants and methods.
        results: return types of its methods, by name.
    """

    base: str = ""
    attributes: Mapping[str, ast.expr] = field(default_factory=dict)
    state: ast.expr | None = None
    values: tuple[object, ...] = ()
    members: frozenset[str] = frozenset()
    results: Mapping[str, ast.expr | None] = field(default_factory=dict)


def declared_class(definition: ast.ClassDef) -> DeclaredClass:
    """Read the declaration of a class from its definition."""
    attributes: dict[str, ast.expr] = {}
    values: list[object] = []
    methods: dict[str, ast.FunctionDef] = {}
    members = set[str]()
    for statement in definition.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                members.add(name)
            case _:
                pass
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), value=None):
                attributes[name] = statement.annotation
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str() as name))]):
                attributes[name] = statement.value
            case ast.Assign(value=ast.Constant(value=value)):
                values.append(value)
            case ast.FunctionDef():
                methods[statement.name] = statement
            case _:
                pass
    bases = [base.id for base in definition.bases if isinstance(base, ast.Name)]
    state = None
    if methods.keys() >= {"__getstate__", "__setstate__"}:
        arguments = methods["__setstate__"].args.args
        state = arguments[1].annotation if len(arguments) == 2 else None
    return DeclaredClass(
        base=bases[0] if bases else "",
        attributes=attributes,
        state=state,
        values=tuple(values),
        members=frozenset(members | attributes.keys() | methods.keys()),
        results={name: method.returns for name, method in methods.items()},
    )


def fits(value: object, declared: ast.expr, classes: Mapping[str, DeclaredClass]) -> bool:  # noqa: PLR0911 - one for each type
    """Whether a value is of a declared type.

    Args:
        value: value of this module, tuple of values, text, number, or None.
        declared: type as source writes it.
        classes: classes of the file's source, by qualified name.
    """
    match declared:
        case ast.Name(id="Any"):
            return True
        case ast.Name(id="Tensor"):
            return isinstance(value, Tensor)
        case ast.Name(id=name):
            return type(value) in _SCALARS[name] if name in _SCALARS else isinstance(value, Plain | int)
        case ast.Attribute():
            return _fits_class(value, ast.unparse(declared), classes)
        case ast.Subscript(value=ast.Name(id="Final"), slice=inner):
            return fits(value, inner, classes)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return value is None or fits(value, inner, classes)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=types)):
            return any(fits(value, inner, classes) for inner in types)
        case ast.Subscript(value=ast.Name(id="Tuple"), slice=inner):
            types = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _fit_each(value, types, classes)
        case ast.Subscript(value=ast.Name(id="List" | "Dict")):
            return isinstance(value, Container) and value.type == ast.unparse(declared)
        case _:
            return False


def _fits_class(value: object, name: str, classes: Mapping[str, DeclaredClass]) -> bool:
    declaration = classes.get(name, DeclaredClass())
    if declaration.base == "NamedTuple":
        return _fit_each(value, list(declaration.attributes.values()), classes)
    # A method of an interface is looked up by its name in the object's own class.
    return isinstance(value, Object) and (value.name == name or declaration.base in _INTERFACES)


def _fit_each(value: object, types: list[ast.expr], classes: Mapping[str, DeclaredClass]) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == len(types)
        and all(fits(part, inner, classes) for part, inner in zip(value, types, strict=True))
    )


def fits_container(container: Container, declared: ast.expr, classes: Mapping[str, DeclaredClass]) -> bool:
    """Whether the parts of a list or dictionary are of the types in its own type."""
    match declared:
        case ast.Subscript(value=ast.Name(id="List"), slice=inner) if container.kind == "List":
            return all(fits(part, inner, classes) for part in container.parts or ())
        case ast.Subscript(value=ast.Name(id="Dict"), slice=ast.Tuple(elts=[key, inner])) if container.kind == "Dict":
            return all(_fit_each(pair, [key, inner], classes) for pair in container.parts or ())
        case _:
            return False
