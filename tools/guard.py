"""How far the losses of sound models stray: the guard's ratio δ/A of the chapter of the regulariser, measured.

    python tools/guard.py

Writes nbs/experiments/results/guard/sound.csv, by which the guard's numbers were chosen, and held_out.csv, which was
measured once after they were fixed. Supernets of all built-in spaces on scikit-learn's digits, one thread.
"""
import itertools
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

from lambda_darts.cells.supernet import Supernet
from lambda_darts.core.files import write_text
from lambda_darts.core.state import frozen_statistics, replay
from lambda_darts.data import load_data
from lambda_darts.bench.reference import normal_cells
from lambda_darts.search.step import alpha_step, optimizers, weight_step
from lambda_darts.theory.regularizer import AlignmentRegularizer, unexplained

RESULTS = Path(__file__).resolve().parents[1]/'nbs'/'experiments'/'results'/'guard'
EPSILONS = (1e-4, 1e-3, 1e-2, .1, 1.)
NETS = [('nb201', 1, 3), ('s2', 4, 1), ('s4', 4, 1), ('s1', 4, 1), ('s3', 4, 1), ('darts_none', 4, 1),
        ('darts', 4, 1)]                                                            # space, cells, seeds
HELD_OUT = ('nb201', 1), ('s1', 4), ('darts_none', 4), ('darts', 4)                 # space, cells
SIZES = (torch.float32, 2), (torch.float32, 8), (torch.float32, 32), (torch.float32, 96), (torch.float64, 32)


def on_one_batch(net, reg, x, y, ranks):
    "Rows (ε₀, δ/A of the central and of the forward difference); each of the ranks has its share of the batch"
    rewind, shares = replay(), [(x[r::ranks], y[r::ranks]) for r in range(ranks)]
    mixing = [p.detach().requires_grad_() for p in net.mixing()]

    def loss_on(share, probs):
        rewind()
        return F.cross_entropy(net(share[0], probs), share[1])

    def moved(share, epsilon):
        with torch.no_grad():
            return [loss_on(share, [p + s*epsilon*d for p, d in zip(mixing, unit)]) for s in (1, -1)]

    with frozen_statistics(net):
        losses = [loss_on(share, mixing) for share in shares]
        grads = [torch.autograd.grad(loss, mixing) for loss in losses]
        u = reg.aim([sum(g)/ranks for g in zip(*grads)])
        unit = [d/torch.cat([d.flatten() for d in u]).norm() for d in u]
        for epsilon in EPSILONS:
            passes, spacing = [moved(share, epsilon) for share in shares], torch.finfo(x.dtype).eps
            noted = [sum(unexplained(loss.detach(), m[:n], g, unit, epsilon, spacing)
                         for loss, m, g in zip(losses, passes, grads)) for n in (2, 1)]
            yield epsilon, *((delta/allowed).item() for delta, allowed in noted)


def trained(net, digits, seed, states):
    "The number of pairs of steps that the supernet has made, at each of the states"
    sgd, adam, _ = optimizers(net, .05, 3e-3, 1)
    reg = AlignmentRegularizer(groups=normal_cells(net), model=net)
    epochs = (digits.batches('train', 32, seed, epoch) for epoch in itertools.count())
    batches = itertools.chain.from_iterable(epochs)
    for before, after in zip((0, *states), states):
        for batch in itertools.islice(batches, after - before):
            weight_step(net, sgd, batch, reg, 0.)
            alpha_step(net, adam, batch, reg)
        yield after


def supernet(space, channels, cells, seed):
    torch.manual_seed(seed)
    return Supernet(space, channels, cells, 10, 1).train()


def sound(space, cells, seed):
    "Rows of the first table, of one supernet"
    digits, net = load_data('digits'), supernet(space, 2 + 2*seed, cells, seed)
    for steps in trained(net, digits, seed, (0, 30, 100)):
        for dtype, batch in SIZES:
            x, y = next(iter(digits.batches('train', batch, seed + 7, 0)))
            for kind, ranks in itertools.product(('cosine', 'sign'), (1, 2) if batch > 2 else (1,)):
                reg = AlignmentRegularizer(kind, groups=normal_cells(net))
                for row in on_one_batch(net.to(dtype), reg, x.to(dtype), y, ranks):
                    yield space, seed, steps, str(dtype)[6:], batch, kind, ranks, *row
        net.float()


def held_out(space, cells, seed=11):
    "Rows of the second table: many small batches, central and forward, both kinds"
    digits, net = load_data('digits'), supernet(space, 2, cells, seed)
    for steps in trained(net, digits, seed, (0, 30)):
        for kind, batch in itertools.product(('cosine', 'sign'), (2, 8)):
            reg = AlignmentRegularizer(kind, groups=normal_cells(net))
            for number, (x, y) in enumerate(itertools.islice(digits.batches('train', batch, seed, 1), 8)):
                for row in on_one_batch(net, reg, x, y, 1):
                    yield space, seed, steps, batch, kind, number, *row


def write(name, rows, columns):
    table = pd.DataFrame(rows, columns=columns.split())
    write_text(RESULTS/name, table.to_csv(index=False, float_format='%.3g'))


def main():
    torch.set_num_threads(1)
    rows = [row for space, cells, seeds in NETS for seed in range(seeds) for row in sound(space, cells, seed)]
    write('sound.csv', rows, 'space seed steps dtype batch kind ranks epsilon central forward')
    rows = [row for space, cells in HELD_OUT for row in held_out(space, cells)]
    write('held_out.csv', rows, 'space seed steps batch kind number epsilon central forward')


if __name__ == '__main__': main()
