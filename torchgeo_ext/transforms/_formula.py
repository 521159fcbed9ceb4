"""Formulas read as arithmetic, never evaluated as Python.

A formula is parsed and walked: whatever is not a number, a name, one of a few operators or one of
a few functions is refused before anything is computed.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from torchgeo_ext.errors import BadParameter

#: Longer formulas are no formulas; it also bounds how deep they are nested.
_LONGEST = 1000
_HINT = (
    'Write arithmetic such as (nir - red) / (nir + red), with + - * / ** and sqrt, exp, log, abs, '
    'minimum, maximum.'
)


def parse(text: str) -> ast.expr:
    """Take a formula apart, and see that it is nothing but arithmetic.

    Raises:
        BadParameter: If it is not; the message names the part.
    """
    if len(text) > _LONGEST:
        raise BadParameter(f'The formula has {len(text)} characters, more than {_LONGEST}.', _HINT)
    try:
        formula = ast.parse(text.strip(), mode='eval').body
        _check(formula)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadParameter(f'The formula {text!r} cannot be read ({error}).', _HINT) from error
    return formula


def read_letters(text: str) -> tuple[str, ...]:
    """Name what a formula is about: bands and constants, in the order of their first use.

    Raises:
        BadParameter: If it is no formula, or about nothing.
    """
    letters = tuple(dict.fromkeys(_names(parse(text))))
    if not letters:
        raise BadParameter(f'The formula {text!r} names no band.', _HINT)
    return letters


def _names(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Name(id=letter):
            yield letter
        case ast.UnaryOp(operand=operand):
            yield from _names(operand)
        case ast.BinOp(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case ast.Call(args=arguments):
            for argument in arguments:
                yield from _names(argument)


def _check(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return
        case ast.Name():
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            _check(left)
            _check(right)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (
            name in _FUNCTIONS and len(arguments) == _FUNCTIONS[name][0]
        ):
            for argument in arguments:
                _check(argument)
        case _:
            raise BadParameter(
                f'A formula holds {ast.unparse(node)!r}, which is no arithmetic.', _HINT
            )


def evaluate(node: ast.expr, known: Mapping[str, Tensor | float]) -> Tensor | float:
    """Compute a formula that :func:`parse` has seen.

    Args:
        node: The formula.
        known: What its letters stand for.

    Raises:
        BadParameter: If numbers become too large.
    """
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=letter):
            return known[letter]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return evaluate(operand, known)
        case ast.UnaryOp(operand=operand):
            return -evaluate(operand, known)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            values = (torch.as_tensor(evaluate(argument, known)) for argument in arguments)
            computed: Tensor = _FUNCTIONS[name][1](*values)
            return computed
        case ast.BinOp(left=left, op=operator, right=right):
            pair = evaluate(left, known), evaluate(right, known)
            try:
                return _OPERATORS[type(operator)](*pair)
            except OverflowError as error:
                raise BadParameter(
                    f'A formula holds {ast.unparse(node)!r}, which is too large a number.'
                ) from error
    raise BadParameter(f'A formula holds {ast.unparse(node)!r}, which is no arithmetic.', _HINT)


def _divide(above: Tensor | float, below: Tensor | float) -> Tensor | float:
    """Divide; where the denominator is 0, the quotient and its gradient are 0."""
    if not isinstance(below, Tensor):
        return above / below if below else 0.0 * above
    defined = below != 0
    return torch.where(defined, above / torch.where(defined, below, 1), 0)


def _power(base: Tensor | float, exponent: Tensor | float) -> Tensor | float:
    """Raise to a power; 0 where that is no real number or its slope is infinite."""
    if not isinstance(base, Tensor) or isinstance(exponent, Tensor):
        return base**exponent
    if exponent < 0:
        return _divide(1.0, _power(base, -exponent))
    if exponent == int(exponent):
        return base**exponent
    return _defined(base, lambda positive: positive**exponent)


def _defined(value: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to what is positive; elsewhere result and gradient are 0."""
    defined = value > 0
    return torch.where(defined, function(torch.where(defined, value, 1)), 0)


#: Number of arguments, and what is done with them.
_FUNCTIONS: Mapping[str, tuple[int, Any]] = {
    'abs': (1, torch.abs),
    'exp': (1, torch.exp),
    'log': (1, lambda value: _defined(value, torch.log)),
    'maximum': (2, torch.maximum),
    'minimum': (2, torch.minimum),
    'sqrt': (1, lambda value: _defined(value, torch.sqrt)),
}
_OPERATORS: Mapping[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: _divide,
    ast.Pow: _power,
}
