class Policy(Module):
  w : Tensor
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    i = 0
    for k in range(torch.size(x, -1)):
      i = torch.add(i, k)
    if torch.eq(self.kind, "relu"):
      y = torch.relu_(x)
    elif torch.__is__(self.state, None):
      y = torch.mul(x, self.gain)
    else:
      ops.prim.RaiseException(torch.format("{}", i), "E")
    l = [y]
    l2 = torch.append(l, torch.clamp(y, -1., inf))
    self.state = (y, i)
    return torch.stack(l, 1)
