class Policy(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  kind : str
  gain : int
  extra : NoneType
  net : __torch__.Policy
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    if torch.ne(torch.dim(x), 2):
      _0 = True
    else:
      _0 = torch.ne(torch.size(x, -1), 6)
    if _0:
      ops.prim.RaiseException("observations", "builtins.ValueError")
    else:
      pass
    net = self.net
    _1 = (self).act((net).forward(x, ), )
    gain = self.gain
    y = torch.mul(_1, gain)
    if torch.eq((torch.size(y))[1], 3):
      pass
    else:
      ops.prim.RaiseException("AssertionError: actions")
    return y
  def act(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    _2 = uninitialized(Tensor)
    kind = self.kind
    if torch.eq(kind, "relu"):
      _3, _4 = True, torch.relu(x)
    else:
      kind0 = self.kind
      if torch.eq(kind0, "softsign"):
        _7 = torch.div(x, torch.add(torch.abs(x), 1))
        _5, _6 = True, _7
      else:
        _5, _6 = False, _2
      _3, _4 = _5, _6
    if _3:
      _8 = _4
    else:
      kind1 = self.kind
      ops.prim.RaiseException(torch.add("kind ", kind1), "builtins.RuntimeError")
      _8 = _2
    return _8
