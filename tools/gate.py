"""Does a scale rank cells as NAS-Bench-201 does? Trains single cells at the scale, one epoch (390 steps) each.

    python tools/gate.py [--cells 3] [--size 8] [--epochs 1] [--strata number] [--data FOLDER]
"""
import os

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ['OMP_NUM_THREADS'] = '1'
import argparse, sys, time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from arms import cifar, shared
from record import about

from lambda_darts.runs.history import evaluate
from lambda_darts.core.files import write_text
from lambda_darts.cells.genotype import Genotype
from lambda_darts.cells.nasbench import NASBench201
from lambda_darts.networks.network import build, params

RESULTS = Path(__file__).resolve().parents[1]/'nbs'/'experiments'/'results'/'gate'
ALL_SKIP = '|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|'


def parts(accuracies, n, strata):
    "Cut rising accuracies into n parts of equal `number`, or of equal `width` (empty parts are left out): indices"
    if strata == 'number': return np.array_split(np.arange(len(accuracies)), n)
    edges = np.linspace(accuracies[0], accuracies[-1], n + 1)[1:-1]
    return [p for p in np.split(np.arange(len(accuracies)), np.searchsorted(accuracies, edges)) if len(p)]


def choose(frame, n=30, seed=0, strata='number'):
    "Cells of the table that a path connects: one of each part of their true accuracies, all-skip among them"
    frame = frame[[Genotype.from_nasbench201(a).connected() for a in frame.arch]].sort_values(['c10_test_200', 'arch'])
    if strata == 'width': frame = frame[frame.c10_test_200 >= frame.c10_test_200[frame.arch == ALL_SKIP].item()]
    rng, chosen = np.random.default_rng(seed), []
    for rows in parts(frame.c10_test_200.to_numpy(), n, strata):
        part = frame.iloc[rows]
        own = part.index[part.arch == ALL_SKIP]
        chosen.append(own[0] if len(own) else part.index[rng.integers(len(part))])
    cells = frame.loc[chosen, ['arch', 'c10_test_200']].reset_index(drop=True)
    return cells.rename(columns=dict(c10_test_200='true_acc'))


def train(arch, data, channels, cells, epochs=1, seed=0):
    "Accuracies (%) on both halves, and parameters, of a cell trained as ω is in the search"
    torch.manual_seed(seed)
    net = build(Genotype.from_nasbench201(arch), data.n_classes, channels, cells, data.channels)
    sgd = torch.optim.SGD(net.parameters(), .025, momentum=.9, weight_decay=3e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, epochs*(len(data.train)//64), eta_min=.001)
    for x, y in (batch for e in range(epochs) for batch in data.batches('train', 64, seed, e)):
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5)
        sgd.step()
        schedule.step()
    net.eval()
    accs = {f'{half}_acc': 100*evaluate(net, data.eval_batches(half, 500))[1] for half in ('train', 'valid')}
    return dict(accs, params=params(net))


def main(cells, size, epochs, strata, folder, channels=8):
    name, data = f'C{channels}-N{cells}-{size}', cifar(folder, size)
    if epochs > 1: name += f'-e{epochs}'
    if strata != 'number': name += f'-{strata}'
    table = NASBench201(shared('nasbench201.csv.gz', folder))
    chosen, rows, file = choose(table.frame, strata=strata), [], RESULTS/f'{name}.csv'
    made = about(data=data.name, fingerprint=data.fingerprint)  # the code that runs is that of the beginning
    if file.exists(): rows = pd.read_csv(file).to_dict('records')
    for row in chosen.to_dict('records')[len(rows):]:
        start = time.perf_counter()
        row |= train(row['arch'], data, channels, cells, epochs)
        rows.append(row | dict(seconds=round(time.perf_counter() - start, 1)))
        write_text(file, pd.DataFrame(rows).round(4).to_csv(index=False))
        print(f"{len(rows):2} {row['arch']} true {row['true_acc']:.2f} here {row['valid_acc']:.2f}", flush=True)
    write_text(RESULTS/f'{name}.json', made)


if __name__ == '__main__':
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--cells', type=int, default=3, help='N per stage')
    args.add_argument('--size', type=int, default=8, help='pixels a side')
    args.add_argument('--epochs', type=int, default=1, help='length of the training of each cell')
    args.add_argument('--strata', choices=['number', 'width'], default='number', help='what the parts are equal in')
    args.add_argument('--data', help='folder of cifar10.npz; else the one that LAMBDA_DARTS_DATA names')
    args = args.parse_args()
    try: main(args.cells, args.size, args.epochs, args.strata, args.data or os.environ.get('LAMBDA_DARTS_DATA', 'data'))
    except (ValueError, FileNotFoundError) as e: sys.exit(f'error: {e}')
