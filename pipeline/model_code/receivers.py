"""Finds the class of the objects whose members TorchScript source names, as far as the source states it.

A member of any other value is an operator, even if a class of the file has a member of that name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.model_code.stored_values import DeclaredClass

# Types of the values that names are bound to; None where the type is unknown.
Names = dict[str, ast.expr | None]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The declarations in a file's source.

    Args:
        classes: its classes, by qualified name.
        functions: return types of its functions, by qualified name.
    """

    classes: Mapping[str, DeclaredClass]
    functions: Mapping[str, ast.expr | None]

    def has_member(self, owner: ast.expr | None, name: str) -> bool:
        """Whether a value of type `owner` is an object with a member of that name."""
        declaration = self._class(owner)
        return declaration is not None and name in declaration.members

    def member(self, owner: ast.expr | None, name: str) -> ast.expr | None:
        """The type of an attribute of a value of type `owner`; None where it is unknown."""
        declaration = self._class(owner)
        return None if declaration is None else declaration.attributes.get(name)

    def _class(self, owner: ast.expr | None) -> DeclaredClass | None:
        return self.classes.get(ast.unparse(owner)) if isinstance(owner, ast.Attribute) else None

    def type_of(self, node: ast.expr, names: Names) -> ast.expr | None:
        """The type of an expression. For the name of a function it is this name."""
        match node:
            case ast.Name(id=name):
                return names.get(name)
            case ast.Attribute(value=owner, attr=name):
                return node if ast.unparse(node) in self.functions else self.member(self.type_of(owner, names), name)
            case ast.Call(func=ast.Name(id="annotate" | "unchecked_cast" | "uninitialized"), args=[declared, *_]):
                return declared
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str() as name)]):
                return self.member(self.type_of(owner, names), name)
            case ast.Call():
                return self._result(node, names)
            case ast.Subscript(value=container, slice=index):
                return _part(self.type_of(container, names), index)
            case _:
                return None

    def may_cast(self, value: ast.expr, wanted: ast.expr, names: Names) -> bool:
        """Whether a value may be cast to a type without a check, as torch does it.

        torch checks each value of a scalar or of a list of scalars again, but it does not check the class of an object.
        So an object may only be cast from an optional type to the type itself.
        """
        match wanted:
            case ast.Name() | ast.Constant(value=None):
                return True
            case ast.Subscript(value=ast.Name(id="List"), slice=ast.Name(id=name)) if name != "Any":
                return True
            case _:
                current = self.type_of(value, names)
                optional = ast.Subscript(value=ast.Name(id="Optional", ctx=ast.Load()), slice=wanted, ctx=ast.Load())
                return _same(current, wanted) or _same(current, optional)

    def _result(self, call: ast.Call, names: Names) -> ast.expr | None:
        match call.func:
            case ast.Attribute(value=owner, attr="__new__"):
                return owner if ast.unparse(owner) in self.classes else None
            case ast.Attribute() if ast.unparse(call.func) in self.classes:
                return call.func
            case ast.Attribute(value=owner, attr=name) if (
                declaration := self._class(self.type_of(owner, names))
            ) is not None:
                return declaration.results.get(name)
            case _:
                function = self.type_of(call.func, names)
                return None if function is None else self.functions.get(ast.unparse(function))


def _part(container: ast.expr | None, index: ast.expr) -> ast.expr | None:
    """The type of an element of a container."""
    match container, index:
        case ast.Subscript(value=ast.Name(id="List"), slice=inner), _ if not isinstance(index, ast.Slice):
            return inner
        case ast.Subscript(value=ast.Name(id="Dict"), slice=ast.Tuple(elts=[_, inner])), _:
            return inner
        case ast.Subscript(value=ast.Name(id="Tuple"), slice=ast.Tuple(elts=types)), ast.Constant(value=int() as place):
            return types[place] if 0 <= place < len(types) else None
        case _:
            return None


def parts_of(declared: ast.expr | None, count: int) -> list[ast.expr | None]:
    """Types of the values to which a tuple or a list is unpacked."""
    return [None if declared is None else _part(declared, ast.Constant(value=place)) for place in range(count)]


def merged(branches: Iterable[Names]) -> Names:
    """Names that all branches bind. A name has no type where the branches disagree on it."""
    first, *rest = branches
    return {
        name: declared if all(_same(declared, names[name]) for names in rest) else None
        for name, declared in first.items()
        if all(name in names for names in rest)
    }


def _same(first: ast.expr | None, second: ast.expr | None) -> bool:
    return first is second or (first is not None and second is not None and ast.dump(first) == ast.dump(second))


def without_types(names: Names, statements: Iterable[ast.stmt]) -> Names:
    """The names at the start of a loop. Those that its body binds lose their types, because these may differ."""
    bound = {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return {name: None if name in bound else declared for name, declared in names.items()}
