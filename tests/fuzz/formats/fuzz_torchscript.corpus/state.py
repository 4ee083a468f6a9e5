class Policy(Module):
  w : Tensor
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    h = torch.tanh(torch.add(torch.linear(x, self.w), self.s))
    _0 = torch.copy_(torch.slice(self.s, 0, 0, 9223372036854775807), h)
    return torch.mm(h, torch.t(self.v))
