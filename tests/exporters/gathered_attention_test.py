"""The two forms of deformable attention agree, inside the image, at its border and far outside."""

import pytest

torch = pytest.importorskip("torch")

from lhg_exporters.rvrt import deformable_attention, gathered_attention  # noqa: E402


@pytest.mark.parametrize(("batch", "heads", "groups", "width"), [(1, 12, 12, 24), (2, 6, 4, 12)])
def test_gathered_rows_give_what_bilinear_samples_give(batch, heads, groups, width):
    torch.manual_seed(heads)
    rows, columns, height, frames = 3, 5, 7, 2
    query = torch.randn(batch, frames, width, rows, columns)
    source = torch.randn(batch * frames * frames * groups, 2 * width // groups, height, columns)
    size = torch.tensor([columns, height])[:, None, None]
    at = torch.rand(batch, frames, frames, groups, 9, 2, rows, columns) * (size + 8) - 4
    at[..., 0] = at[..., 0].round()  # integers, of which some are the corners
    at[..., 1] *= 100
    arguments = query, source, at, heads
    found, wanted = (module.attend(*arguments) for module in (gathered_attention, deformable_attention))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
