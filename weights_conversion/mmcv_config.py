"""Reads the configuration text that MMCV keeps beside the weights."""

import ast

from weights_conversion.safe_pickle import FileError

# The longest text of the release has 30 thousand characters.
_LONGEST = 1_000_000


def parse_config(text, names):
    """Reads some entries of a configuration without running it.

    Args:
        text: Python source of assignments such as `model = dict(type='X')`,
            as MMCV writes it.
        names: Names of the assignments that are wanted. Their values must
            be made of literals and calls of `dict`; others are not looked at.

    Returns:
        A dict from those of the names that occur to their value: numbers,
        strings, lists, tuples and dicts.

    Raises:
        ValueError: If the text is no Python, or a value is anything else.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise FileError(
            "The configuration must be a text of at most "
            f"{_LONGEST} characters. Received: {type(text).__name__}"
        )
    try:
        entries = {}
        for statement in ast.parse(text).body:
            for target in getattr(statement, "targets", ()):
                if isinstance(target, ast.Name) and target.id in names:
                    entries[target.id] = _read_value(statement.value)
        return entries
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FileError(
            "The configuration beside the weights must be Python assignments "
            f"of plain values. Received: {error}"
        ) from error


def _read_value(node):
    if isinstance(node, ast.Call):
        return _read_call(node)
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError(f"line {node.lineno} unpacks a dict")
        keys = (ast.literal_eval(key) for key in node.keys)
        return dict(zip(keys, map(_read_value, node.values), strict=True))
    if isinstance(node, ast.List):
        return [_read_value(value) for value in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_read_value(value) for value in node.elts)
    return ast.literal_eval(node)


def _read_call(node):
    """Reads `dict(a=1)` and `dict({'a.b': 1})`, which MMCV writes too."""
    is_dict = isinstance(node.func, ast.Name) and node.func.id == "dict"
    are_dicts = all(isinstance(argument, ast.Dict) for argument in node.args)
    if not (is_dict and are_dicts and all(k.arg for k in node.keywords)):
        raise ValueError(f"line {node.lineno} calls something else than `dict`")
    value = {}
    for argument in node.args:
        value |= _read_value(argument)
    return value | {k.arg: _read_value(k.value) for k in node.keywords}
