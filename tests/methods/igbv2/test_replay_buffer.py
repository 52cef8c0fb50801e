import pytest
import torch

from mtl_bench.errors import RecordError
from mtl_bench.methods.igbv2.sac import make_replay


def test_columns_keep_together_and_the_oldest_makes_room():
    replay = make_replay(2, capacity=3)
    for k in range(5):
        losses = torch.full((2,), float(k), dtype=torch.float64)
        replay.append(losses, losses + 0.5, -float(k), losses + 1)
    assert len(replay) == 3
    batch = replay.sample(300, torch.Generator().manual_seed(0))
    k = batch.losses_BT[:, 0]
    assert set(k.tolist()) == {2, 3, 4}
    torch.testing.assert_close(batch.weights_BT, torch.stack([k, k], dim=1) + 0.5)
    torch.testing.assert_close(batch.next_losses_BT[:, 1], k + 1)
    torch.testing.assert_close(batch.rewards_B, -k)
    assert {column.dtype for column in batch} == {torch.float32}


def test_another_capacity_is_refused():
    with pytest.raises(RecordError, match="buffer_size"):
        make_replay(2, 4).load_state_dict(make_replay(2, 5).state_dict())
