"""What α hears: the layers' gradients at the kept networks of a run, on the same 128 batches of each half.

A row for each kept network and half. Λ of raw gradients averaged over 64 to 8,192 images; of the felt gradients J g_l
(J = diag(p) - pp', what the softmax passes on to α) signal to noise by layer, ρ = ‖Σ m_l‖/Σ‖m_l‖ of their means m_l,
the push of -Σ m_l for each operation (mean over edges), and the first principal component over batches and layers.
"""
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from arms import moments, network_file, probs_line

from lambda_darts.theory.alignment import alignment
from lambda_darts.core.files import write_text
from lambda_darts.cells.genotype import NB201_OPS

BATCHES, AVERAGED = 128, (1, 4, 16, 64, 128)


def felt(grad, p):
    "J g: what reaches α of a layer gradient (…, operations) at mixing weights p"
    return p*(grad - (p*grad).sum(-1, keepdim=True))


def gradients(net, batches, probs):
    "Layer gradients (batches, layers, edges, operations)"
    rows = []
    for x, y in batches:
        copies = [p.clone().requires_grad_() for p in probs]
        rows.append(torch.stack(torch.autograd.grad(F.cross_entropy(net(x, copies), y), copies)))
    return torch.stack(rows)


def averaged(grads, batch_size):
    "Mean Λ where so many images are averaged before layers are compared"
    means = {n: grads.unflatten(0, (-1, n)).mean(1) for n in AVERAGED if n <= len(grads)}
    return {f'lambda_{n*batch_size}': float(np.mean([float(alignment(list(m))) for m in v])) for n, v in means.items()}


def component(heard):
    "First principal component of felt gradients (batches, layers, edges, operations), each layer at mean square 1"
    rows = heard.flatten(2)
    rows = (rows/rows.square().sum(-1).mean(0).sqrt()[:, None].clamp_min(1e-30)).flatten(0, 1)
    _, s, v = torch.linalg.svd(rows, full_matrices=False)
    first = v[0].view(heard.shape[2:])
    by = dict(zip(NB201_OPS, first.mean(0).tolist()))
    convolutions, passing = by['nor_conv_1x1'] + by['nor_conv_3x3'], by['skip_connect'] + by['avg_pool_3x3']
    if convolutions < passing: first = -first
    score = -rows @ first.flatten()  # of the descent that a layer wants on a batch
    same = (score.sign() == score.mean().sign()).double().mean()
    return dict(pc_share=float(s[0]**2/s.square().sum()), pc_push=float(score.mean()), pc_same=float(same),
                pc=probs_line(first), **{f'pc_{o}': v for o, v in zip(NB201_OPS, first.mean(0).tolist())})


def heard_at(grads, probs, batch_size):
    "What one half says at one network"
    heard = torch.stack([felt(grads[:, i], p) for i, p in enumerate(probs)], 1)
    mean = heard.mean(0)
    noise = (heard - mean).flatten(2).norm(dim=2).mean(0)
    rho = mean.sum(0).norm()/mean.flatten(1).norm(dim=1).sum()
    snr = mean.flatten(1).norm(dim=1)/noise
    return dict(**averaged(grads, batch_size), felt_lambda=float(alignment(list(mean))), rho=float(rho),
                **{f'snr_{i}': float(v) for i, v in enumerate(snr)},
                **{f'push_{o}': -float(v) for o, v in zip(NB201_OPS, mean.sum(0).mean(0))}, **component(heard))


def hears(search):
    "A frame with a row for each kept network of a search and each half"
    c, rows = search.config, []
    for epoch in moments(c.epochs):
        file = network_file(search.out, epoch)
        if not file.is_file(): raise FileNotFoundError(f'{file}: no such file: run the arm to its end first')
        search.net.load_state_dict(torch.load(file, weights_only=True))
        search.net.train()
        probs = [p.detach() for p in search.net.mixing()]
        for half in ('train', 'valid'):
            batches = [b for _, b in zip(range(BATCHES), search.data.batches(half, c.batch_size, 7, 0))]
            grads = gradients(search.net, batches, probs)
            rows.append(dict(epoch=epoch, half=half, batches=len(batches), **heard_at(grads, probs, c.batch_size)))
    return pd.DataFrame(rows)


def write_hears(search, results):
    "Measure and store what α hears in a run"
    file = results/'hears'/f'{search.arm}-s{search.config.seed}.csv'
    frame = hears(search)
    write_text(file, frame.round(6).to_csv(index=False))
    return frame
