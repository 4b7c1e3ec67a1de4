"""Which labels the series of a query have: what is left of those of its metrics."""

from __future__ import annotations

from collections.abc import Callable

import promql_parser
from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorMatchCardinality,
    VectorSelector,
)

Labels = frozenset[str]
OfMetric = Callable[[str], Labels]
"""The labels that a metric can have, by its name."""
_SCALARS = {"time", "scalar"}


def labels_of(expression: str, of_metric: OfMetric) -> Labels:
    """The labels that the result can have."""
    found = _labels(promql_parser.parse(expression), of_metric)
    return found if found is not None else frozenset()


def _labels(node: Expr, of_metric: OfMetric) -> Labels | None:
    """None for a scalar."""
    match node:
        case NumberLiteral():
            return None
        case VectorSelector() | MatrixSelector():
            selector = node.vector_selector if isinstance(node, MatrixSelector) else node
            return of_metric(selector.name or "")
        case ParenExpr() | UnaryExpr() | SubqueryExpr():
            return _labels(node.expr, of_metric)
        case AggregateExpr():
            return _aggregated(node, of_metric)
        case BinaryExpr():
            return _joined(node, of_metric)
        case Call():
            return _called(node, of_metric)
    raise AssertionError(node)


def _aggregated(node: AggregateExpr, of_metric: OfMetric) -> Labels:
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    inner = _labels(node.expr, of_metric) or frozenset()
    return inner & named if node.modifier.type == AggModifierType.By else inner - named


def _joined(node: BinaryExpr, of_metric: OfMetric) -> Labels | None:
    left, right = _labels(node.lhs, of_metric), _labels(node.rhs, of_metric)
    if left is None or right is None:
        return right if left is None else left
    if str(node.op) == "or":
        return left & right
    if str(node.op) in {"and", "unless"} or node.modifier is None or node.modifier.matching is None:
        return left
    if node.modifier.card == VectorMatchCardinality.ManyToOne:
        return left
    named = frozenset(node.modifier.matching.labels)
    return left & named if node.modifier.matching.type == LabelModifierType.Include else left - named


def _called(node: Call, of_metric: OfMetric) -> Labels | None:
    if node.func.name in _SCALARS:
        return None
    vectors = [labels for one in node.args if (labels := _labels(one, of_metric)) is not None]
    found = vectors[0] if vectors else frozenset[str]()
    return found - {"le"} if node.func.name == "histogram_quantile" else found
