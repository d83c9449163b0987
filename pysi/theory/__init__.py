"""The paper's theory (Sections 3 and 4), computed instead of quoted. NumPy and SciPy, float64.

Reading order: `quadratic` (a loss on which everything is known), `importance` (the matrix Q, whose
diagonal is ω), `normalization` (from Q to Ω), `surrogate` (the penalty as a stand-in for the old
loss), `paths` (ω along real training), `ledger` (what that ω is made of), `curvature` (Hessian and
Fisher diagonals), `batches` (Ω beside Fisher diagonals, a program), `checks`, `path_claims` and
`claims` (every equation in one table).
"""
