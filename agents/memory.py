"""What a policy remembers within an episode: LSTM, GRU, or attention over the last steps.

A memory is one float32 row a world, `[N, m]`, zeros before anything was seen. `step` takes it one step on, `forward` a
whole sequence; both give the same. Where an episode starts, the memory is emptied before the step is taken in.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.networks import linear


class Recurrent(nn.Module):
    """An LSTM or GRU (Hochreiter and Schmidhuber, 1997; Cho et al., arXiv 1406.1078); an LSTM's memory is `[h, c]`.

    Args:
        kind: "lstm" or "gru".
        num_inputs: features a step.
        size: of the hidden state.

    Attributes:
        fused: one call a step; False: the same in elementary operations, which `torch.func.vmap` can batch.
    """

    def __init__(self, kind: str, num_inputs: int, size: int) -> None:
        super().__init__()
        self.kind, self.num_features = kind, size
        self.num_states = 2 if kind == "lstm" else 1
        self.num_numbers = self.num_states * size
        self.cell = nn.LSTMCell(num_inputs, size) if kind == "lstm" else nn.GRUCell(num_inputs, size)
        for weight in (self.cell.weight_ih, self.cell.weight_hh):
            for gate in weight.data.split(size):
                nn.init.orthogonal_(gate)
        self.fused = True
        nn.init.zeros_(self.cell.bias_ih)
        nn.init.zeros_(self.cell.bias_hh)
        if kind == "lstm":
            nn.init.ones_(self.cell.bias_ih.data[size : 2 * size])  # forget little at first (Gers et al., 2000)

    def step(self, x: Tensor, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, num_inputs]`, `[N, m]`, bool `[N]` -> what is remembered, `[N, size]`, and the next memory `[N, m]`."""
        state = self._advance(x, memory.chunk(self.num_states, dim=-1), (~starts).float().unsqueeze(-1))
        return state[0], torch.cat(state, dim=-1)

    def forward(self, x: Tensor, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """`[T, N, num_inputs]`, `[N, m]`, bool `[T, N]` -> `[T, N, size]` and the memory after the last, `[N, m]`."""
        state: tuple[Tensor, ...] = memory.chunk(self.num_states, dim=-1)
        keep = (~starts).float().unsqueeze(-1)
        hidden = []
        for row, kept in zip(x.unbind(), keep.unbind(), strict=True):
            state = self._advance(row, state, kept)
            hidden.append(state[0])
        return torch.stack(hidden), torch.cat(state, dim=-1)

    def _advance(self, x: Tensor, state: tuple[Tensor, ...], kept: Tensor) -> tuple[Tensor, ...]:
        weights = self.cell._parameters.values()  # attributes of modules are slow to look up
        if not self.fused:
            return self._advance_plainly(x, state, kept)
        if self.kind == "lstm":
            return torch.lstm_cell(x, [state[0] * kept, state[1] * kept], *weights)  # pyright: ignore
        return (torch.gru_cell(x, state[0] * kept, *weights),)  # pyright: ignore

    def _advance_plainly(self, x: Tensor, state: tuple[Tensor, ...], kept: Tensor) -> tuple[Tensor, ...]:
        cell, h = self.cell, state[0] * kept
        given, kept_on = F.linear(x, cell.weight_ih, cell.bias_ih), F.linear(h, cell.weight_hh, cell.bias_hh)
        if self.kind == "lstm":
            into, forget, new, out = (given + kept_on).chunk(4, dim=-1)
            c = forget.sigmoid() * (state[1] * kept) + into.sigmoid() * new.tanh()
            return out.sigmoid() * c.tanh(), c
        (reset, update, new), (r, u, n) = given.chunk(3, dim=-1), kept_on.chunk(3, dim=-1)
        share = (update + u).sigmoid()
        return ((1 - share) * (new + (reset + r).sigmoid() * n).tanh() + share * h,)


class Attention(nn.Module):
    """A causal transformer: each step attends to itself and up to `context` steps before it in its episode.

    Blocks with the normalisation before (Xiong et al., arXiv 2002.04745), a learned bias for each head and age in place
    of positions, and each block's own past inputs kept, as in Transformer-XL (Dai et al., arXiv 1901.02860). The memory
    is how many steps are kept, then each block's past inputs, `[1 + blocks * context * size]`.

    Args:
        num_inputs: features a step.
        size: width of a token.
        context: steps remembered.
        num_blocks: one on top of the other; each reaches `context` steps further back.
        num_heads: of each block's attention.

    Raises:
        ValueError: a size that the heads don't divide.
    """

    def __init__(self, num_inputs: int, size: int, context: int, num_blocks: int = 2, num_heads: int = 4) -> None:
        super().__init__()
        if size % num_heads:
            raise ValueError(f"memory_size must be a multiple of {num_heads} for a transformer, got {size}")
        self.num_features, self.context = size, context
        self.num_numbers = 1 + num_blocks * context * size
        self.embed = linear(num_inputs, size, 1.0)
        self.blocks = nn.ModuleList(Block(size, context, num_heads) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(size)

    def step(self, x: Tensor, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward` with one step, without its dimension."""
        remembered, memory = self(x.unsqueeze(0), memory, starts.unsqueeze(0))
        return remembered.squeeze(0), memory

    def forward(self, x: Tensor, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """`[T, N, num_inputs]`, `[N, m]`, bool `[T, N]` -> `[T, N, size]` and the memory after the last, `[N, m]`."""
        num_kept, *past = memory.split([1] + [self.context * self.num_features] * len(self.blocks), dim=-1)
        behind = self._behind(starts.T, num_kept)
        ages = self._ages(len(x), x.device)
        seen = (ages >= 0) & (ages <= behind.unsqueeze(-1))
        tokens = self.embed(x).transpose(0, 1)
        kept = [(behind[:, -1:] + 1).clamp(max=self.context).float()]
        for block, its_past in zip(self.blocks, past, strict=True):
            tokens, later = block(tokens, its_past.unflatten(-1, (self.context, -1)), ages, seen)
            kept.append(later.flatten(1))
        return self.norm(tokens).transpose(0, 1), torch.cat(kept, dim=-1)

    def _behind(self, starts: Tensor, num_kept: Tensor) -> Tensor:
        """How many steps of the same episode each step may look back to: int64 `[N, T]` of starts `[N, T]`."""
        time = torch.arange(starts.shape[1], device=starts.device)
        first = torch.where(starts, time, -1)
        first = first.cummax(dim=1).values if len(time) > 1 else first
        behind = torch.where(first >= 0, time - first, time + num_kept.long())
        return behind.clamp(max=self.context)

    def _ages(self, num_steps: int, device: torch.device) -> Tensor:
        """How many steps each key lies before each query: int64 `[T, context + T]`."""
        now = self.context + torch.arange(num_steps, device=device).unsqueeze(-1)
        return now - torch.arange(self.context + num_steps, device=device)


class Block(nn.Module):
    """Attention over the past and two layers behind it, each added to what comes in; `fused` as in `Recurrent`."""

    def __init__(self, size: int, context: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.fused = num_heads, True
        self.norm, self.norm_behind = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key, self.value = (linear(size, size, 1.0) for _ in range(3))
        self.out = linear(size, size, 1.0)
        self.wide, self.narrow = linear(size, 2 * size), linear(2 * size, size, 1.0)
        self.bias = nn.Parameter(torch.zeros(num_heads, context + 1))

    def forward(self, tokens: Tensor, past: Tensor, ages: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[N, T, size]`, past ones `[N, C, size]`, ages `[T, C + T]`, bool `[N, T, C + T]` -> both, one on."""
        everything = torch.cat([past, tokens], dim=1)
        normed = self.norm(everything)
        bias = self.bias[:, ages.clamp(0, self.bias.shape[1] - 1)]
        bias = bias.masked_fill(~seen.unsqueeze(1), -math.inf)
        query, key, value = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, x in (
                (self.query, normed[:, past.shape[1] :]),
                (self.key, normed),
                (self.value, normed),
            )
        )
        if self.fused:
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        else:
            found = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias).softmax(-1) @ value
        tokens = tokens + self.out(found.transpose(1, 2).flatten(2))
        tokens = tokens + self.narrow(torch.relu(self.wide(self.norm_behind(tokens))))
        return tokens, everything[:, -past.shape[1] :]


MEMORIES = ("", "lstm", "gru", "transformer")


def make_memory(kind: str, num_inputs: int, size: int, context: int) -> Recurrent | Attention | None:
    """The memory of a name in `MEMORIES`; None for "".

    Raises:
        ValueError: another name.
    """
    if kind not in MEMORIES:
        raise ValueError(f"memory must be one of {', '.join(map(repr, MEMORIES))}, got {kind!r}")
    if kind == "transformer":
        return Attention(num_inputs, size, context)
    return Recurrent(kind, num_inputs, size) if kind else None
