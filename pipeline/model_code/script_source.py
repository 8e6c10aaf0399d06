"""Finds the operators that TorchScript source calls, with Python's parser, without compiling or running the source.

A name means what torch's importer makes of it (torch/csrc/jit/serialization/import_source.cpp and
frontend/ir_emitter.cpp, sugared_value.cpp): `torch.x` and `ops.space.x` are operators, and so is `value.x` unless the
value is an object that has such a member. A name that is not known here is refused, and so is every form of source
that torch's printer does not write, because Python and torch might read it differently.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from pipeline.model_code.operators import ALLOWED, ALLOWED_CLASSES, UNKNOWN, cut, refusal
from pipeline.model_code.receivers import Declared, Names, merged, parts_of, without_types
from pipeline.model_code.source_text import SourceError, parse
from pipeline.model_code.stored_values import DeclaredClass, declared_class

# Roots of dotted names. In source that torch prints, each is followed by a dot.
_ROOTS = frozenset({"torch", "ops", "CONSTANTS", "__torch__"})
# Functions that are called with a type or with a member's name, and the number of arguments that torch prints. Source
# may only call them, because a second name for one of them would hide such a call.
_WITH_TYPE = {"annotate": 2, "unchecked_cast": 2, "uninitialized": 1, "isinstance": 2}
_WITH_MEMBER_NAME = {"getattr": 2, "hasattr": 2}
_SPECIAL = _WITH_TYPE | _WITH_MEMBER_NAME
# Names without a dot that mean something by themselves. They compute, or are values of operators that are allowed.
_BUILTIN_NAMES = """
    AssertionError abs all any awaitable bin bool chr complex dict divmod enumerate float fork hash hex inf infj int
    len list max min nan nanj oct ord pow range rangelist round sorted str sum tuple zip
"""
_BUILTINS = frozenset(_BUILTIN_NAMES.split())
# Names without a dot that mean operators which are refused.
_BUILTIN_OPERATORS = {"print": "prim::Print", "id": "prim::id"} | {
    name: f"prim::{name}" for name in ("rpc_async", "rpc_sync", "rpc_remote")
}
# No value may have one of these names: torch forgets values (after `del`, or after branches that disagree on a type),
# and the name then means the operator again. Other builtin names only compute, whether torch has forgotten a value or
# not.
_RESERVED = _ROOTS | _SPECIAL.keys() | _BUILTIN_OPERATORS.keys() | {"fork"}
# Methods and properties of tensors, devices, enumerations and classes that are not operators of the same name.
_PROPERTY_NAMES = "H T __new__ byte cdouble cfloat char double float half int long ndim shape short value"
_PROPERTIES = frozenset(_PROPERTY_NAMES.split())
_BASES = frozenset({"Enum", "Interface", "Module", "ModuleInterface", "NamedTuple"})
_CONSTANT = re.compile(r"c\d+")
_TEXT = re.compile(r'"(?!"")(?:[^"\\\n]|\\.)*"')


@dataclass(frozen=True, kw_only=True)
class Use:
    """An operator that source names.

    Args:
        operator: namespace and name, such as `aten::relu`.
        place: module and line.
    """

    operator: str
    place: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """The types, classes and operators in a file's source.

    Args:
        types: qualified names of its classes and functions.
        classes: declarations of its classes, by qualified name.
        uses: operators that it names.
    """

    types: frozenset[str]
    classes: Mapping[str, DeclaredClass]
    uses: tuple[Use, ...]

    def refused(self, allowed: Collection[str]) -> dict[str, tuple[str, str]]:
        """Operators that may not be called, each with the reason and the place of its first use."""
        first = {use.operator: use.place for use in reversed(self.uses)}
        reasons = {operator: refusal(operator, allowed) for operator in sorted(first)}
        return {operator: (reason, first[operator]) for operator, reason in reasons.items() if reason}


def read_source(files: Mapping[str, str]) -> Source:
    """Read all source of a TorchScript file.

    Args:
        files: source by qualified name of the module, such as `__torch__.torch.nn.modules.linear`.

    Raises:
        SourceError: the source has a name or a form that torch's printer does not write.
    """
    trees = {module: parse(module, text) for module, text in files.items()}
    types = set(ALLOWED_CLASSES)
    functions: dict[str, ast.expr | None] = {}
    classes: dict[str, DeclaredClass] = {}
    for module, tree in trees.items():
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                classes[f"{module}.{statement.name}"] = declared_class(statement)
            if isinstance(statement, ast.ClassDef | ast.FunctionDef):
                if (name := f"{module}.{statement.name}") in types:
                    raise SourceError(f"{module}, line {statement.lineno}: expected each name once, found {cut(name)}")
                types.add(name)
            if isinstance(statement, ast.FunctionDef):
                functions[f"{module}.{statement.name}"] = statement.returns
    declared = Declared(classes=classes, functions=functions)
    uses: list[Use] = []
    for module, tree in trees.items():
        reader = _Reader(module, files[module], frozenset(types), declared)
        try:
            reader.module(tree)
        except RecursionError as error:
            raise SourceError(f"{module}: expected source of usual depth, found more") from error
        uses += reader.uses
    return Source(types=frozenset(types), classes=classes, uses=tuple(uses))


class _Reader:
    """Walks the tree of one file, statement by statement, and keeps track of the names that are bound."""

    def __init__(self, module: str, text: str, types: frozenset[str], declared: Declared) -> None:
        self._module, self._lines, self._types, self._declared = module, text.split("\n"), types, declared
        self.uses: list[Use] = []

    def module(self, tree: ast.Module) -> None:
        """Read a whole file of classes and functions."""
        for statement in tree.body:
            match statement:
                case ast.ClassDef():
                    self._class(statement)
                case ast.FunctionDef():
                    self._bind(statement, statement.name, {})
                    self._function(statement, {})
                case _:
                    self._refuse(statement, "classes and functions", type(statement).__name__)

    def _refuse(self, node: ast.AST, expected: str, actual: str) -> NoReturn:
        line = getattr(node, "lineno", 0)
        raise SourceError(f"{self._module}, line {line}: expected {expected}, found {cut(actual)}")

    def _written(self, node: ast.expr) -> str:
        """The source of an expression; only its first line if it has several."""
        end = node.end_col_offset if node.end_lineno == node.lineno else None
        return self._lines[node.lineno - 1][node.col_offset : end]

    def _use(self, node: ast.AST, operator: str) -> None:
        self.uses.append(Use(operator=operator, place=f"{self._module}, line {getattr(node, 'lineno', 0)}"))

    def _class(self, definition: ast.ClassDef) -> None:
        bases = [base.id if isinstance(base, ast.Name) else "" for base in definition.bases]
        if definition.decorator_list or definition.keywords or not set(bases) <= _BASES:
            self._refuse(definition, f"a class with a base of {', '.join(sorted(_BASES))}", f"{definition.name}")
        for statement in definition.body:
            match statement:
                case ast.FunctionDef():
                    self._function(statement, {})
                case ast.AnnAssign(target=ast.Name()):
                    self._type(statement.annotation)
                    if statement.value is not None:
                        self._value(statement.value, {})
                case ast.Assign(targets=[ast.Name()]):
                    self._value(statement.value, {})
                case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="__annotations__"), slice=ast.Constant())]):
                    self._type(statement.value)
                case ast.Pass():
                    pass
                case _:
                    self._refuse(statement, "attributes and methods in a class", type(statement).__name__)

    def _function(self, definition: ast.FunctionDef, outer: Names) -> None:
        arguments = definition.args
        if definition.decorator_list or arguments.vararg or arguments.kwarg:
            self._refuse(definition, "a function with named arguments and no decorator", definition.name)
        bound = dict(outer)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self._bind(argument, argument.arg, bound, argument.annotation)
            if argument.annotation is not None:
                self._type(argument.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self._value(default, {})
        if definition.returns is not None:
            self._type(definition.returns)
        self._block(definition.body, bound)

    def _bind(self, node: ast.AST, name: str, bound: Names, declared: ast.expr | None = None) -> None:
        if name in _RESERVED:
            self._refuse(node, "names of its own for values", name)
        bound[name] = declared

    def _block(self, statements: Iterable[ast.stmt], bound: Names) -> None:
        for statement in statements:
            self._statement(statement, bound)

    def _statement(self, statement: ast.stmt, bound: Names) -> None:  # noqa: C901, PLR0912 - one branch for each kind
        match statement:
            case ast.Assign():
                self._value(statement.value, bound)
                declared = self._declared.type_of(statement.value, bound)
                for target in statement.targets:
                    self._target(target, bound, declared)
            case ast.AnnAssign():
                self._type(statement.annotation)
                if statement.value is not None:
                    self._value(statement.value, bound)
                    self._target(statement.target, bound, statement.annotation)
            case ast.AugAssign():
                self._value(statement.target, bound)
                self._value(statement.value, bound)
            case ast.Expr() | ast.Return():
                if statement.value is not None:
                    self._value(statement.value, bound)
            case ast.If():
                self._value(statement.test, bound)
                branches = [dict(bound), dict(bound)]
                self._block(statement.body, branches[0])
                self._block(statement.orelse, branches[1])
                # As in torch, a name that only one branch binds is not bound after the branches and may mean another
                # thing there.
                bound.update(merged(branches))
            case ast.While(orelse=[]):
                bound.update(without_types(bound, statement.body))
                self._value(statement.test, bound)
                self._block(statement.body, dict(bound))
            case ast.For(orelse=[]):
                self._value(statement.iter, bound)
                bound.update(without_types(bound, [statement]))
                inner = dict(bound)
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
            case ast.Raise() | ast.Assert():
                for child in ast.iter_child_nodes(statement):
                    if isinstance(child, ast.expr):
                        self._value(child, bound)
            case ast.Pass() | ast.Break() | ast.Continue():
                pass
            case _:
                self._refuse(statement, "statements of TorchScript", type(statement).__name__)

    def _target(self, target: ast.expr, bound: Names, declared: ast.expr | None = None) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(target, name, bound, declared)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part, kind in zip(parts, parts_of(declared, len(parts)), strict=True):
                    self._target(part, bound, kind)
            case ast.Attribute() | ast.Subscript():
                self._value(target, bound)
            case _:
                self._refuse(target, "a name, an attribute or an element to assign to", type(target).__name__)

    def _value(self, node: ast.expr, bound: Names) -> None:  # noqa: C901, PLR0912 - one branch for each kind
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
                if isinstance(value, str) and not _TEXT.fullmatch(self._written(node)):
                    self._refuse(node, "text in one pair of double quotes", self._written(node))
            case ast.ListComp() | ast.DictComp():
                inner = dict(bound)
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

    def _name(self, node: ast.AST, name: str, bound: Names) -> None:
        if name not in _SPECIAL and (name in bound or name in _BUILTINS):
            return
        if name in _BUILTIN_OPERATORS:
            self._use(node, _BUILTIN_OPERATORS[name])
        else:
            self._refuse(node, "names of values, operators or classes of the file", name)

    def _call(self, node: ast.Call, bound: Names) -> None:
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any(keyword.arg is None for keyword in node.keywords):
            self._refuse(node, "arguments one by one", "**")
        match node.func:
            case ast.Name(id=name) if name in _SPECIAL:
                if node.keywords or len(values) != _SPECIAL[name]:
                    self._refuse(node, f"{_SPECIAL[name]} unnamed arguments of {name}", ast.unparse(node))
                if name == "unchecked_cast" and not self._declared.may_cast(values[1], values[0], bound):
                    self._refuse(node, f"{ast.unparse(values[0])} or None to cast", ast.unparse(values[1]))
                if name in _WITH_TYPE:
                    self._type(values.pop(1 if name == "isinstance" else 0))
                else:
                    member = self._text(node, name, values.pop())
                    self._member(node, member, self._declared.type_of(values[0], bound))
            case _:
                self._value(node.func, bound)
        for value in values:
            self._value(value, bound)

    def _text(self, node: ast.AST, name: str, member: ast.expr) -> str:
        """The name of a member in quotes. It may hold nothing that Python and torch could read differently."""
        if not isinstance(member, ast.Constant) or not isinstance(member.value, str) or "\\" in self._written(member):
            self._refuse(node, f"{name} of a value and a name in quotes", "another form")
        return member.value

    def _attribute(self, node: ast.Attribute, bound: Names) -> None:
        """Read a dotted name of an operator, a constant, a class, or members of a value."""
        names: list[str] = []
        base: ast.expr = node
        owner: ast.expr | None = None
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
                written = ["__torch__", *names]
                names = self._after_type(node, written)
                owner = ast.parse(".".join(written[: len(written) - len(names)]), mode="eval").body
            case _:
                self._value(base, bound)
                owner = self._declared.type_of(base, bound)
        for name in names:
            self._member(node, name, owner)
            owner = self._declared.member(owner, name)

    def _after_type(self, node: ast.AST, names: list[str]) -> list[str]:
        """The names behind the name of a class or function of the file."""
        ends = (end for end in range(len(names), 1, -1) if ".".join(names[:end]) in self._types)
        end = next(ends, None)
        if end is None:
            self._refuse(node, "classes and functions that the file holds", ".".join(names))
        return names[end:]

    def _member(self, node: ast.AST, name: str, owner: ast.expr | None) -> None:
        """Read the name of an object's member. On any other value it means the operator of that name."""
        operator = f"aten::{name}"
        if operator in ALLOWED or f"prim::{name}" in ALLOWED or name in _PROPERTIES:
            return
        if not self._declared.has_member(owner, name) or refusal(operator) != UNKNOWN:
            self._use(node, operator)

    def _type(self, node: ast.expr) -> None:
        """Read a type. It runs nothing, but its classes have to be the file's own."""
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
