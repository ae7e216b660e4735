"""Parse the configuration text in checkpoints of MMCV."""

import ast

from weights_conversion.safe_pickle import FileError

# The longest configuration of the release has 30 thousand characters.
_MAX_LENGTH = 1_000_000


def parse_config(text, names):
    """Parse entries of a configuration without executing it.

    Args:
        text: Python source of assignments such as `model = dict(type='X')`,
            as written by MMCV.
        names: Names of the assignments to return. Their values must consist
            of literals and calls of `dict`; other assignments are ignored.

    Returns:
        A dict from each name that occurs to its value, which consists of
        numbers, strings, lists, tuples and dicts.

    Raises:
        ValueError: If the text is not Python, or a value contains anything
            else.
    """
    if not isinstance(text, str) or len(text) > _MAX_LENGTH:
        received = type(text).__name__
        if isinstance(text, str):
            received = f"{len(text)} characters"
        raise FileError(
            "The configuration must be a string of at most "
            f"{_MAX_LENGTH} characters. Received: {received}"
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
            "The configuration in the checkpoint must be Python assignments "
            f"of plain values. Received: {error}"
        ) from error


def _read_value(node):
    """Return the value of an expression of literals and calls of `dict`."""
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
    """Return the value of `dict(a=1)` or `dict({'a.b': 1})`."""
    is_dict = isinstance(node.func, ast.Name) and node.func.id == "dict"
    are_dicts = all(isinstance(argument, ast.Dict) for argument in node.args)
    if not (is_dict and are_dicts and all(k.arg for k in node.keywords)):
        raise ValueError(
            f"line {node.lineno} calls a function other than `dict`"
        )
    value = {}
    for argument in node.args:
        value |= _read_value(argument)
    return value | {k.arg: _read_value(k.value) for k in node.keywords}
