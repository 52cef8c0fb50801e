"""The measurement of the solvers."""

from benchmarks.solvers import KINDS, SIZES, measure, render

METHODS = {"mgda", "cagrad", "nashmtl", "imtl", "pcgrad", "alignedmtl"}


def test_every_method_is_measured_at_every_size():
    result = measure(1)
    for kind in KINDS:
        medians = result["median_cpu_microseconds"][kind]
        assert medians.keys() >= METHODS
        for by_size in medians.values():
            assert list(by_size) == [str(size) for size in SIZES]
            assert min(by_size.values()) > 0
        assert result["residual"][kind].keys() >= METHODS - {"pcgrad"}
    assert max(result["residual"]["independent"]["mgda"].values()) < 1e-9
    lines = render(result).splitlines()
    assert sum(line.startswith("| mgda |") for line in lines) == len(KINDS)
