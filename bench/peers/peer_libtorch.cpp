// peer_libtorch.cpp - LibTorch's linear layers and GRU cells, without gradients.
#include "peer.h"

#include <torch/torch.h>
#include <torch/version.h>

#include <string>
#include <vector>

struct chain {
    peer_layer layer[PEER_LAYERS];
    int n;
    std::vector<torch::nn::Linear> dense;
    std::vector<torch::nn::GRUCell> cell;
    std::vector<torch::Tensor> h, rest; // states; constants beside the output of the layer before
};

static void step(void *user)
{
    chain &c = *static_cast<chain *>(user);
    torch::Tensor y;
    for (int k = 0; k < c.n; k++) {
        const peer_layer &l = c.layer[k];
        torch::Tensor x = c.rest[k];
        if (k && l.n_in == c.layer[k - 1].n_out)
            x = y;
        else if (k)
            x = torch::cat({y, c.rest[k]}, 1);
        if (l.recurrent) {
            c.h[k] = c.cell[k]->forward(x, c.h[k]);
            y = c.h[k];
        } else {
            y = c.dense[k]->forward(x);
        }
        if (l.activation == 'r') y = torch::relu(y);
        if (l.activation == 't') y = torch::tanh(y);
    }
}

int main(int argc, char **argv)
{
    static chain c;
    c.n = peer_parse(argc, argv, c.layer);
    at::set_num_threads(1);
    torch::InferenceMode inference;
    for (int k = 0; k < c.n; k++) {
        const peer_layer &l = c.layer[k];
        const int before = k ? c.layer[k - 1].n_out : 0;
        c.dense.push_back(torch::nn::Linear(l.n_in, l.n_out));
        c.cell.push_back(torch::nn::GRUCell(l.n_in, l.n_out));
        c.h.push_back(torch::zeros({1, l.n_out}));
        c.rest.push_back(torch::ones({1, l.n_in > before ? l.n_in - before : 1}));
    }
    peer_loop("LibTorch " TORCH_VERSION, step, &c);
    return 0;
}
