class Policy(Module):
  w : Tensor
  def forward(self: __torch__.Policy,
    x: Tensor) -> Tensor:
    net = self.net
    return (net).forward(torch.linear(x, self.w), x=CONSTANTS.c0, )
class Inner(Module):
  def forward(self, y: Tensor, x: Tensor=None) -> Tensor:
    return torch.layer_norm(torch.add(y, x), [4], getattr(self, "bias"), self.bias, 1e-05, True)
