"""The example that the chapters look at: two short searches, DARTS and Λ-DARTS, and their layer gradients.

    python tools/example.py

It is an example and no evidence: one seed, a twentieth of CIFAR-10 at 16×16 pixels, 30 epochs, the quick preset with
two cells per stage. cifar10_small.npz and nasbench201.csv.gz are read from the folder that LAMBDA_DARTS_DATA names. The
searches work in runs/example (about a quarter of an hour on one thread) and go on there. What is stored in
nbs/experiments/results/example are their histories, the layer gradients at the start and at both ends (mean over an
epoch of training images), and about.json.
"""
import os

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ['OMP_NUM_THREADS'] = '1'  # before torch is imported: results hold for one thread
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from record import ROOT, about

from lambda_darts.search.config import search_config
from lambda_darts.core.files import write_text
from lambda_darts.data.halves import load_data
from lambda_darts.cells.genotype import NB201_OPS
from lambda_darts.search.search import Search

RESULTS, RUNS = ROOT/'nbs'/'experiments'/'results'/'example', ROOT/'runs'/'example'


def searched(name, data, table, until=None, **given):
    "A search of the example, from where its folder says it is"
    config = search_config(cells=2, epochs=30, **given)
    return Search(config, data, RUNS/name, 'cpu', table).run(until)


def recorded(run, search):
    "A row for each layer and edge: the mean of its gradient over an epoch of training images"
    search.net.train()
    total, n = 0, 0
    for x, y in search.data.batches('train', 64, 0, len(search.rows)):
        copies = [p.detach().requires_grad_() for p in search.net.mixing()]
        total = total + torch.stack(torch.autograd.grad(F.cross_entropy(search.net(x, copies), y), copies))
        n += 1
    at = dict(run=run, epoch=len(search.rows))
    return [at | dict(layer=l, edge=e) | dict(zip(NB201_OPS, row.tolist()))
            for l, g in enumerate(total/n) for e, row in enumerate(g)]


def main():
    folder = Path(os.environ.get('LAMBDA_DARTS_DATA', 'data')).expanduser()
    data, table = load_data(folder/'cifar10_small.npz', size=16), folder/'nasbench201.csv.gz'
    none = dict(regularizer='none')
    rows = recorded('start', searched('start', data, table, 1, **none))
    for name, run, given in (('darts', 'DARTS', none), ('lambda', 'Λ-DARTS', dict(regularizer='cosine'))):
        search = searched(name, data, table, **given)
        rows += recorded(run, search)
        write_text(RESULTS/f'{name}.csv', (search.out/'history.csv').read_text(encoding='utf-8'))
    write_text(RESULTS/'layer_gradients.csv', pd.DataFrame(rows).round(7).to_csv(index=False))
    write_text(RESULTS/'about.json', about(data=data.name, fingerprint=data.fingerprint))


if __name__ == '__main__': main()
