"What the table of NAS-Bench-201 says about the mixing weights of a run: columns for its stored history."
import pandas as pd
import torch

from lambda_darts.cells.genotype import NB201_OPS


def read_probs(line):
    "Mixing weights (edges, operations) that `probs_line` wrote"
    return torch.tensor([[float(v) for v in edge.split()] for edge in line.split('|')], dtype=torch.double)


def accuracies(frame):
    "True accuracy of every cell of the whole table: a tensor with an axis of operations for each edge"
    acc = torch.full((len(NB201_OPS),)*6, float('nan'), dtype=torch.double)
    cells = tuple(torch.tensor(frame[f'op{e}'].to_numpy()) for e in range(6))
    acc[cells] = torch.tensor(frame['c10_test_200'].to_numpy())
    if acc.isnan().any(): raise ValueError(f'the table has {len(frame)} cells: all {acc.numel()} are needed')
    return acc


def expected(acc, p, tau=1.):
    "Expected true accuracy of a cell whose edges draw their operations from p^(1/τ)"
    weights = p**(1/tau)
    for edge in weights/weights.sum(-1, keepdim=True): acc = torch.tensordot(edge, acc, 1)  # one axis less
    return float(acc)


def late(history):
    "Epochs of the last tenth of a run"
    return max(1, round(len(history)/10))


def with_outcomes(history, frame):
    "A history with what is expected of a drawn cell, and the accuracy of the cell of the mean over a tenth of the run"
    acc, probs = accuracies(frame), [read_probs(line) for line in history.probs]
    n, rows = late(history), []
    for i, p in enumerate(probs):
        mean = torch.stack(probs[max(0, i + 1 - n):i + 1]).mean(0)
        rows.append(dict(expected_acc=expected(acc, p), expected_acc_sharp=expected(acc, p, .1),
                         mean_acc=float(acc[tuple(mean.argmax(-1))])))
    return history.assign(**pd.DataFrame(rows, index=history.index))
