"""Which operators TorchScript source calls, read by Python's parser without compiling or running it.

What a name means is what torch's importer makes of it (torch/csrc/jit/serialization/import_source.cpp and
frontend/ir_emitter.cpp, sugared_value.cpp): `torch.x` and `ops.space.x` are operators; so is `value.x` unless the value
is an object that has such a member. A name that is none of those known here is refused: so is every form of source that
torch's printer does not write, because Python and torch might read it differently.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import NoReturn

from pipeline.model_code.operators import ALLOWED, ALLOWED_CLASSES, UNKNOWN, cut, refusal

# Roots of dotted names; no source that torch prints binds them, or uses one without a dot behind it.
_ROOTS = frozenset({"torch", "ops", "CONSTANTS", "__torch__"})
_WITH_TYPE_FIRST = frozenset({"annotate", "unchecked_cast", "uninitialized"})
_WITH_MEMBER_NAME = frozenset({"getattr", "hasattr"})
_RESERVED = _ROOTS | _WITH_TYPE_FIRST | _WITH_MEMBER_NAME | {"isinstance"}
# Names without a dot that mean something by themselves; they compute, or are what the value of an operator above is.
_BUILTIN_NAMES = """
    AssertionError abs all any awaitable bin bool chr complex dict divmod enumerate float fork hash hex inf infj int
    isinstance len list max min nan nanj oct ord pow range rangelist round sorted str sum tuple zip
"""
_BUILTINS = frozenset(_BUILTIN_NAMES.split()) | _WITH_TYPE_FIRST | _WITH_MEMBER_NAME
# Such names that are operators which are refused.
_BUILTIN_OPERATORS = {"print": "prim::Print", "id": "prim::id"} | {
    name: f"prim::{name}" for name in ("rpc_async", "rpc_sync", "rpc_remote")
}
# Methods and properties of tensors, devices, enumerations and classes that are no operators of these names.
_PROPERTY_NAMES = "H T __new__ byte cdouble cfloat char double float half int long ndim shape short value"
_PROPERTIES = frozenset(_PROPERTY_NAMES.split())
_BASES = frozenset({"Enum", "Interface", "Module", "ModuleInterface", "NamedTuple"})
_CONSTANT = re.compile(r"c\d+")
_FOREIGN = re.compile(r"[^\n -~]")


class SourceError(ValueError):
    """Source that is refused, with its place: `member, line 3: expected ..., found ...`."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """An operator that source names.

    Args:
        operator: namespace and name, `aten::relu` for example.
        place: member and line.
    """

    operator: str
    place: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of a file's source.

    Args:
        types: qualified names of its classes and functions.
        uses: the operators that it names.
    """

    types: frozenset[str]
    uses: tuple[Use, ...]

    def refused(self, allowed: Collection[str]) -> dict[str, tuple[str, str]]:
        """Operators that may not be called: why, and where the first one stands, by operator."""
        first = {use.operator: use.place for use in reversed(self.uses)}
        reasons = {operator: refusal(operator, allowed) for operator in sorted(first)}
        return {operator: (reason, first[operator]) for operator, reason in reasons.items() if reason}


def read_source(files: Mapping[str, str]) -> Source:
    """Read all source of a TorchScript file.

    Args:
        files: source by qualified name of the module, `__torch__.torch.nn.modules.linear` for example.

    Raises:
        SourceError: a name or a form in it that torch's printer does not write.
    """
    trees = {module: _parse(module, text) for module, text in files.items()}
    types, members = set(ALLOWED_CLASSES), set[str]()
    for module, tree in trees.items():
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                members |= _members(statement)
            if isinstance(statement, ast.ClassDef | ast.FunctionDef):
                types.add(f"{module}.{statement.name}")
    uses: list[Use] = []
    for module, tree in trees.items():
        reader = _Reader(module, frozenset(types), frozenset(members))
        try:
            reader.module(tree)
        except RecursionError as error:
            raise SourceError(f"{module}: expected source of usual depth, found more") from error
        uses += reader.uses
    return Source(types=frozenset(types), uses=tuple(uses))


def _parse(module: str, text: str) -> ast.Module:
    """The tree, of text that Python and torch split into the same words."""
    if foreign := _FOREIGN.search(text):
        line = text.count("\n", 0, foreign.start()) + 1
        raise SourceError(f"{module}, line {line}: expected printable ASCII, found {foreign[0]!r}")
    try:
        if "#" in text and any(
            word.type == tokenize.COMMENT for word in tokenize.generate_tokens(StringIO(text).readline)
        ):
            raise SourceError(f"{module}: expected source without comments, found one")
        return ast.parse(text)
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        place = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise SourceError(f"{module}{place}: expected TorchScript source, found: {reason}") from error


def _members(definition: ast.ClassDef) -> set[str]:
    """Names of a class's attributes and methods."""
    names = set[str]()
    for statement in definition.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str() as name))]):
                names.add(name)
            case _:
                pass
    return names


class _Reader:
    """Walks one file's tree, statement by statement, with the set of names that are bound there."""

    def __init__(self, module: str, types: frozenset[str], members: frozenset[str]) -> None:
        self._module, self._types, self._members = module, types, members
        self.uses: list[Use] = []

    def module(self, tree: ast.Module) -> None:
        """A whole file: classes and functions."""
        for statement in tree.body:
            match statement:
                case ast.ClassDef():
                    self._class(statement)
                case ast.FunctionDef():
                    self._function(statement, set())
                case _:
                    self._refuse(statement, "classes and functions", type(statement).__name__)

    def _refuse(self, node: ast.AST, expected: str, found: str) -> NoReturn:
        line = getattr(node, "lineno", 0)
        raise SourceError(f"{self._module}, line {line}: expected {expected}, found {cut(found)}")

    def _use(self, node: ast.AST, operator: str) -> None:
        self.uses.append(Use(operator=operator, place=f"{self._module}, line {getattr(node, 'lineno', 0)}"))

    def _class(self, definition: ast.ClassDef) -> None:
        bases = [base.id if isinstance(base, ast.Name) else "" for base in definition.bases]
        if definition.decorator_list or definition.keywords or not set(bases) <= _BASES:
            self._refuse(definition, f"a class with a base of {', '.join(sorted(_BASES))}", f"{definition.name}")
        for statement in definition.body:
            match statement:
                case ast.FunctionDef():
                    self._function(statement, set())
                case ast.AnnAssign(target=ast.Name()):
                    self._type(statement.annotation)
                    if statement.value is not None:
                        self._value(statement.value, set())
                case ast.Assign(targets=[ast.Name()]):
                    self._value(statement.value, set())
                case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="__annotations__"), slice=ast.Constant())]):
                    self._type(statement.value)
                case ast.Pass():
                    pass
                case _:
                    self._refuse(statement, "attributes and methods in a class", type(statement).__name__)

    def _function(self, definition: ast.FunctionDef, outer: set[str]) -> None:
        arguments = definition.args
        if definition.decorator_list or arguments.vararg or arguments.kwarg:
            self._refuse(definition, "a function with named arguments and no decorator", definition.name)
        bound = set(outer)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self._bind(argument, argument.arg, bound)
            if argument.annotation is not None:
                self._type(argument.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self._value(default, set())
        if definition.returns is not None:
            self._type(definition.returns)
        self._block(definition.body, bound)

    def _bind(self, node: ast.AST, name: str, bound: set[str]) -> None:
        if name in _RESERVED:
            self._refuse(node, "names of its own for values", name)
        bound.add(name)

    def _block(self, statements: Iterable[ast.stmt], bound: set[str]) -> None:
        for statement in statements:
            self._statement(statement, bound)

    def _statement(self, statement: ast.stmt, bound: set[str]) -> None:  # noqa: C901, PLR0912 - one branch a kind
        match statement:
            case ast.Assign():
                self._value(statement.value, bound)
                for target in statement.targets:
                    self._target(target, bound)
            case ast.AnnAssign():
                self._type(statement.annotation)
                if statement.value is not None:
                    self._value(statement.value, bound)
                    self._target(statement.target, bound)
            case ast.AugAssign():
                self._value(statement.target, bound)
                self._value(statement.value, bound)
            case ast.Expr() | ast.Return():
                if statement.value is not None:
                    self._value(statement.value, bound)
            case ast.If():
                self._value(statement.test, bound)
                branches = [set(bound), set(bound)]
                self._block(statement.body, branches[0])
                self._block(statement.orelse, branches[1])
                # As in torch: what only one branch binds is not bound behind it, and may be another thing there.
                bound |= branches[0] & branches[1]
            case ast.While(orelse=[]):
                self._value(statement.test, bound)
                self._block(statement.body, set(bound))
            case ast.For(orelse=[]):
                self._value(statement.iter, bound)
                inner = set(bound)
                self._target(statement.target, inner)
                self._block(statement.body, inner)
            case ast.With():
                for item in statement.items:
                    self._value(item.context_expr, bound)
                    if item.optional_vars is not None:
                        self._target(item.optional_vars, bound)
                self._block(statement.body, bound)
            case ast.FunctionDef():
                self._bind(statement, statement.name, bound)
                self._function(statement, bound)
            case ast.Raise() | ast.Assert() | ast.Delete():
                for child in ast.iter_child_nodes(statement):
                    if isinstance(child, ast.expr):
                        self._value(child, bound)
            case ast.Pass() | ast.Break() | ast.Continue():
                pass
            case _:
                self._refuse(statement, "statements of TorchScript", type(statement).__name__)

    def _target(self, target: ast.expr, bound: set[str]) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(target, name, bound)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._target(part, bound)
            case ast.Attribute() | ast.Subscript():
                self._value(target, bound)
            case _:
                self._refuse(target, "a name, an attribute or an element to assign to", type(target).__name__)

    def _value(self, node: ast.expr, bound: set[str]) -> None:  # noqa: C901, PLR0912 - one branch a kind
        match node:
            case ast.Name(id=name):
                self._name(node, name, bound)
            case ast.Attribute():
                self._attribute(node, bound)
            case ast.Call():
                self._call(node, bound)
            case ast.Constant(value=value):
                if isinstance(value, bytes):
                    self._refuse(node, "text and numbers", "bytes")
            case ast.ListComp() | ast.DictComp():
                inner = set(bound)
                for part in node.generators:
                    self._value(part.iter, inner)
                    self._target(part.target, inner)
                    for condition in part.ifs:
                        self._value(condition, inner)
                parts = [node.elt] if isinstance(node, ast.ListComp) else [node.key, node.value]
                for expression in parts:
                    self._value(expression, inner)
            case (
                ast.BinOp()
                | ast.BoolOp()
                | ast.UnaryOp()
                | ast.Compare()
                | ast.IfExp()
                | ast.Subscript()
                | ast.Slice()
                | ast.Tuple()
                | ast.List()
                | ast.Dict()
            ):
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self._value(child, bound)
            case _:
                self._refuse(node, "expressions of TorchScript", type(node).__name__)

    def _name(self, node: ast.AST, name: str, bound: set[str]) -> None:
        if name in bound or name in _BUILTINS:
            return
        if name in _BUILTIN_OPERATORS:
            self._use(node, _BUILTIN_OPERATORS[name])
        else:
            self._refuse(node, "names of values, operators or classes of the file", name)

    def _call(self, node: ast.Call, bound: set[str]) -> None:
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any(keyword.arg is None for keyword in node.keywords):
            self._refuse(node, "arguments one by one", "**")
        match node.func:
            case ast.Name(id=name) if name in _WITH_TYPE_FIRST and node.args:
                self._type(values.pop(0))
            case ast.Name(id="isinstance") if len(values) == 2:
                self._type(values.pop())
            case ast.Name(id=name) if name in _WITH_MEMBER_NAME:
                match values:
                    case [_, ast.Constant(value=str() as member), *_]:
                        self._member(node, member)
                    case _:
                        self._refuse(node, f"{name} of a value and a name in quotes", "another form")
            case _:
                self._value(node.func, bound)
        for value in values:
            self._value(value, bound)

    def _attribute(self, node: ast.Attribute, bound: set[str]) -> None:
        """A dotted name: of an operator, a constant, a class, or of members of a value."""
        names: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            names.insert(0, base.attr)
            base = base.value
        match base:
            case ast.Name(id="torch"):
                self._use(node, f"aten::{names.pop(0)}")
            case ast.Name(id="ops") if len(names) > 1:
                self._use(node, f"{names.pop(0)}::{names.pop(0)}")
            case ast.Name(id="CONSTANTS"):
                if not _CONSTANT.fullmatch(names.pop(0)):
                    self._refuse(node, "a constant by its number", ast.unparse(node))
            case ast.Name(id="__torch__"):
                names = self._after_type(node, ["__torch__", *names])
            case _:
                self._value(base, bound)
        for name in names:
            self._member(node, name)

    def _after_type(self, node: ast.AST, names: list[str]) -> list[str]:
        """What stands behind the name of a class or function of the file."""
        known = (end for end in range(len(names), 1, -1) if ".".join(names[:end]) in self._types)
        end = next(known, None)
        if end is None:
            self._refuse(node, "classes and functions that the file holds", ".".join(names))
        return names[end:]

    def _member(self, node: ast.AST, name: str) -> None:
        """A member of an object, or, of any other value, an operator of that name."""
        operator = f"aten::{name}"
        if operator in ALLOWED or f"prim::{name}" in ALLOWED or name in _PROPERTIES:
            return
        if name not in self._members or refusal(operator) != UNKNOWN:
            self._use(node, operator)

    def _type(self, node: ast.expr) -> None:
        """A type: it runs nothing, but its classes have to be the file's own."""
        match node:
            case ast.Name() | ast.Constant(value=None):
                pass
            case ast.Attribute():
                names = ast.unparse(node).split(".")
                if names[0] != "__torch__" or self._after_type(node, names):
                    self._refuse(node, "a type", ast.unparse(node))
            case ast.Subscript():
                self._type(node.value)
                self._type(node.slice)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._type(part)
            case _:
                self._refuse(node, "a type", ast.unparse(node))
