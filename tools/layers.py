"""Where the layer gradients are long, and what they ask for, while ω learns and α stays at the start.

    python tools/layers.py

Small NAS-Bench-201 supernets on scikit-learn's digits (8×8 pixels), C = 8, N = 1, 2, 3, 5 cells per stage, one seed,
with and without the scale and shift of BatchNorm. ω learns as in a search (SGD, .025, momentum .9, batch 64) on the
training half; after 0, 10 and 30 steps (N = 1 and 2: and after 100) the layer gradients of the validation half are
recorded. Stored in nbs/experiments/results/layers: norms.csv, a row for each layer: the mean norm over batches, and
the norm of the mean; wishes.csv, a row for each moment: the mean gradient summed over the layers, as a mean over the
edges, by operation. One or two minutes on one thread.
"""
import os

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ['OMP_NUM_THREADS'] = '1'  # before torch is imported: results hold for one thread
import itertools

import pandas as pd
import torch
import torch.nn.functional as F
from record import ROOT, about
from torch import nn

from lambda_darts.cells.genotype import NB201_OPS
from lambda_darts.cells.supernet import Supernet
from lambda_darts.core.files import write_text
from lambda_darts.data.halves import load_data

RESULTS = ROOT/'nbs'/'experiments'/'results'/'layers'
DEPTHS = {1: (0, 10, 30, 100), 2: (0, 10, 30, 100), 3: (0, 10, 30), 5: (0, 10, 30)}  # N: steps of ω


def gradients(net, data, batches=8):
    "Layer gradients of validation batches, (batches, layers, edges, operations); BatchNorm sees the batch alone"
    found = []
    for x, y in itertools.islice(data.batches('valid', 64, 0, 0), batches):
        copies = [p.detach().requires_grad_() for p in net.mixing()]
        found.append(torch.stack(torch.autograd.grad(F.cross_entropy(net(x, copies), y), copies)))
    return torch.stack(found)


def trained(N, affine, data):
    "The supernet at each of the moments"
    torch.manual_seed(0)
    net = Supernet('nb201', 8, N, 10, 1).train()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d) and not affine: m.requires_grad_(False)  # they stay 1 and 0
    optimizer = torch.optim.SGD([w for w in net.weights() if w.requires_grad], .025, momentum=.9, weight_decay=3e-4)
    batches = itertools.chain.from_iterable(data.batches('train', 64, 0, epoch) for epoch in itertools.count())
    for before, after in zip((0, *DEPTHS[N]), DEPTHS[N]):
        for x, y in itertools.islice(batches, after - before):
            optimizer.zero_grad()
            F.cross_entropy(net(x, [p.detach() for p in net.mixing()]), y).backward()
            nn.utils.clip_grad_norm_(net.weights(), 5.)
            optimizer.step()
        yield after, net


def main():
    data, norms, wishes = load_data('digits'), [], []
    for N, affine in itertools.product(DEPTHS, (True, False)):
        for steps, net in trained(N, affine, data):
            g, at = gradients(net, data), dict(N=N, affine=affine, steps=steps)
            lengths, means = g.flatten(2).norm(dim=2).mean(0), g.mean(0).flatten(1).norm(dim=1)
            norms += [at | dict(layer=l, norm=a.item(), of_mean=b.item()) for l,
                      (a, b) in enumerate(zip(lengths, means))]
            wishes.append(at | dict(zip(NB201_OPS, g.mean(0).sum(0).mean(0).tolist())))
    RESULTS.mkdir(exist_ok=True)
    for name, rows in (('norms', norms), ('wishes', wishes)):
        write_text(RESULTS/f'{name}.csv', pd.DataFrame(rows).to_csv(index=False, float_format='%.5g'))
    write_text(RESULTS/'about.json', about(data=data.name, fingerprint=data.fingerprint))


if __name__ == '__main__': main()