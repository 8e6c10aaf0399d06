"""Of which class the objects are whose members TorchScript source names, as far as the source says so.

A member of any other value is an operator, whatever classes of the file have a member of that name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.model_code.stored_values import DeclaredClass

# Types of the values that names are bound to; none where it is not known.
Names = dict[str, ast.expr | None]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a file's source declares, by qualified name.

    Args:
        classes: its classes.
        functions: types of what its functions return.
    """

    classes: Mapping[str, DeclaredClass]
    functions: Mapping[str, ast.expr | None]

    def has_member(self, owner: ast.expr | None, name: str) -> bool:
        """Whether a value of a type is an object with such a member."""
        known = self._class(owner)
        return known is not None and name in known.members

    def member(self, owner: ast.expr | None, name: str) -> ast.expr | None:
        """The type of an attribute."""
        known = self._class(owner)
        return None if known is None else known.attributes.get(name)

    def _class(self, owner: ast.expr | None) -> DeclaredClass | None:
        return self.classes.get(ast.unparse(owner)) if isinstance(owner, ast.Attribute) else None

    def type_of(self, node: ast.expr, names: Names) -> ast.expr | None:
        """The type of an expression, or, of a function's name, this name."""
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
        """Whether a value may be taken for another type unchecked, as torch does.

        Of a scalar or a list of them torch looks at each value again, but not at the class of an object: only what may
        be None is taken for what it else is.
        """
        match wanted:
            case ast.Name() | ast.Constant(value=None):
                return True
            case ast.Subscript(value=ast.Name(id="List"), slice=ast.Name(id=name)) if name != "Any":
                return True
            case _:
                found = self.type_of(value, names)
                optional = ast.Subscript(value=ast.Name(id="Optional", ctx=ast.Load()), slice=wanted, ctx=ast.Load())
                return _same(found, wanted) or _same(found, optional)

    def _result(self, call: ast.Call, names: Names) -> ast.expr | None:
        match call.func:
            case ast.Attribute(value=owner, attr="__new__"):
                return owner if ast.unparse(owner) in self.classes else None
            case ast.Attribute() if ast.unparse(call.func) in self.classes:
                return call.func
            case ast.Attribute(value=owner, attr=name) if (
                known := self._class(self.type_of(owner, names))
            ) is not None:
                return known.results.get(name)
            case _:
                function = self.type_of(call.func, names)
                return None if function is None else self.functions.get(ast.unparse(function))


def _part(container: ast.expr | None, index: ast.expr) -> ast.expr | None:
    """The type of an element."""
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
    """Types of as many values as a tuple or a list is unpacked to."""
    return [None if declared is None else _part(declared, ast.Constant(value=place)) for place in range(count)]


def merged(branches: Iterable[Names]) -> Names:
    """Names that all branches bind; without a type where they do not agree on it."""
    first, *others = branches
    return {
        name: declared if all(_same(declared, other[name]) for other in others) else None
        for name, declared in first.items()
        if all(name in other for other in others)
    }


def _same(first: ast.expr | None, second: ast.expr | None) -> bool:
    return first is second or (first is not None and second is not None and ast.dump(first) == ast.dump(second))


def without_types(names: Names, statements: Iterable[ast.stmt]) -> Names:
    """The names as a loop finds them: those that its body binds may be of another type."""
    bound = {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return {name: None if name in bound else declared for name, declared in names.items()}
