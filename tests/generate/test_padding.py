from __future__ import annotations

import torch

from mixwright.generate.padding import common_prefix_length, left_pad


def test_left_padding_puts_every_last_token_in_the_last_column():
    batch = left_pad([[4, 5, 6], [7]], 0, torch.device("cpu"))
    assert batch.ids_BT.tolist() == [[4, 5, 6], [0, 0, 7]]
    assert batch.mask_BT.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert batch.positions_BT.tolist() == [[0, 1, 2], [0, 0, 0]]


def test_a_common_prefix_leaves_one_token_of_every_row():
    assert common_prefix_length([(1, 2, 3), (1, 2, 4, 5)]) == 2
    assert common_prefix_length([(1, 2, 3), (1, 2, 3)]) == 2
    assert common_prefix_length([(1, 2), (1, 2, 3, 4)]) == 1
    assert common_prefix_length([(2, 1), (1, 2)]) == 0
