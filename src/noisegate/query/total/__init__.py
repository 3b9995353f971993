"""Total functions: every operator and function that may see a private row, one row of a table each.

A row is a Python function from typed argument values to a typed value whose SQL cannot fail. `ROWS` is the whole list;
docs/sql.md is checked against it. What has no row is refused.
"""

from noisegate.query.total.compile import compile_expr
from noisegate.query.total.scope import Scope
from noisegate.query.total.table import FUNCTIONS, OPERATORS, ROWS, Row

__all__ = ["FUNCTIONS", "OPERATORS", "ROWS", "Row", "Scope", "compile_expr"]
