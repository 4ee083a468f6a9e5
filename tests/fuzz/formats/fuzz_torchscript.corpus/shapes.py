class Policy(Module):
  w : Tensor
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    y = torch.view(x, [1, 2, -1])
    p, q = torch.split(torch.transpose(y, 1, 2), [1, 2], 1)
    z = torch.cat([torch.flatten(p, 1), torch.reshape(q, [1, -1])], -1)
    u = torch.index(z, [None, self.index])
    r = torch.repeat(torch.expand(u, [1, 2]), [1, 3])
    return torch.where(torch.gt(r, 0.5), r, torch.mean(r, [1], True))
