class Policy(Module):
  w : Tensor
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    y = torch.zeros([1, 4], dtype=6, layout=0)
    _0 = torch.add_(torch.select(y, 1, 2), torch.sum(x))
    _1 = torch.clamp_(torch.slice(y, 1, None, -1, 2), -1, 1)
    return torch.div(y, torch.norm(y, 2, [1], True))
