class Policy(Module):
  w : Tensor
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    h = self.h
    _0, _1 = torch.gru(torch.unsqueeze(x, 0), h, self._flat_weights, False, 1, 0., False, False, False)
    _2 = torch.index_put_(h, annotate(List[Optional[Tensor]], [None]), _1)
    self.h = _1
    return torch.squeeze(_0, 0)
