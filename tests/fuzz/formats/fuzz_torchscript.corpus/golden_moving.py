class Policy(Module):
  __parameters__ = []
  __buffers__ = ["pick", "mask", ]
  pick : Tensor
  mask : Tensor
  training : bool
  _is_full_backward_hook : Optional[bool]
  a : __torch__.Policy
  b : __torch__.Policy
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    n = (torch.size(x))[0]
    grid = torch.view(x, [n, 2, 3])
    _0 = torch.reshape(torch.transpose(grid, 1, 2), [n, -1])
    _1 = torch.slice(torch.slice(_0), 1, None, None, 2)
    pick = self.pick
    _2 = torch.slice(x)
    _3 = annotate(List[Optional[Tensor]], [None, pick])
    _4 = torch.index(_2, _3)
    pick0 = self.pick
    _5 = torch.slice(torch.index_select(x, 1, pick0))
    _6 = torch.slice(_5, 1, None, 2)
    mask = self.mask
    _7 = torch.slice(x)
    _8 = annotate(List[Optional[Tensor]], [None, mask])
    parts = [_1, _4, _6, torch.index(_7, _8)]
    a = self.a
    h = torch.tanh((a).forward(torch.cat(parts, 1), ))
    p, q, = torch.chunk(h, 2, -1)
    first, second, = torch.split(h, [3, 5], 1)
    b = self.b
    y = (b).forward(torch.cat([torch.mul(p, 2), q], 1), )
    _9 = torch.permute(torch.stack(torch.unbind(y, 1), 1), [0, 1])
    u = torch.squeeze(torch.unsqueeze(_9, 0), 0)
    _10 = torch.add(torch.narrow(u, 1, 1, 3), torch.expand(first, [n, 3]))
    _11 = torch.unsqueeze(torch.select(second, 1, 4), -1)
    v = torch.add(_10, torch.repeat(_11, [1, 3]))
    _12 = torch.where(torch.tensor([True, False, True]), v, torch.mean(v, [1], True))
    return _12
