#!/bin/sh
# Policies as frameworks save them: every line of the table in docs/guide-read-a-policy.md, what a
# checkpoint does not say, and files that are not policies.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77
zips=$src/tests/golden/sb3
pts=$src/tests/golden/checkpoints

# right CSV policy argument... - the actions are those that are recorded, to 1e-5
right() {
    csv=$1
    shift
    expect 0 compare --obs "$csv" --fail-above 1e-5 --json "$@"
    json 'j["actions"]["max_abs"] <= 1e-5 and j["actions"]["first_above"] == -1'
}

# --- Stable-Baselines3 ------------------------------------------------------------------------
for name in ppo_clipped ppo_mish ppo_dict sac_scaled sac_gsde td3 crossq dqn qrdqn ars_linear recurrent_ppo ppo_discrete \
    ppo_shared; do
    right "$zips/$name.csv" "$zips/$name.zip" --strict
done
right "$zips/vecnormalize.csv" "$zips/vecnormalize.zip" --strict --normalizer "$zips/vecnormalize.pkl"
right "$zips/vecnormalize_dict.csv" "$zips/vecnormalize_dict.zip" --normalizer "$zips/vecnormalize_dict.pkl"
right "$zips/ppo_multi_discrete.csv" "$zips/ppo_multi_discrete.zip" --logits
expect 1 run "$zips/ppo_multi_discrete.zip" --obs "$zips/ppo_multi_discrete.csv"
says '--logits gives the 5 values'
expect 1 info "$zips/custom_extractor.zip"
says "'my.nets.Extractor'"
expect 1 info "$zips/ppo_clipped.zip" --squash tanh
says 'says what its actions go through'

# a normaliser beside a policy is named and not taken
expect 0 info "$zips/vecnormalize.zip"
prints 'note: .*sb3/vecnormalize.pkl.* is not used.*--normalizer .*sb3/vecnormalize.pkl'
prints '^observations  4$'
cp "$zips/td3.zip" "$dir/model.zip"
cp "$zips/vecnormalize.pkl" "$dir/vec_normalize.pkl"
expect 0 info "$dir/model.zip"
prints "vec_normalize.pkl.* is not used"
expect 0 convert "$zips/vecnormalize.zip" -o "$dir/v.deft"
says 'note: .*--normalizer .*sb3/vecnormalize.pkl'
expect 0 info "$zips/vecnormalize.zip" --json
json '"--normalizer" in j["note"] and j["assumptions"] == []'
expect 0 info "$zips/vecnormalize.zip" --normalizer none
! grep -q vecnormalize.pkl "$dir/out" || fail "the normaliser is named though it is refused"
expect 1 info "$zips/vecnormalize.zip" --normalizer "$zips/ppo_clipped.zip"
says 'not a pickle'
expect 1 info "$src/tests/golden/policies/activation_tanh.onnx" --normalizer "$zips/vecnormalize.pkl"
says 'of a checkpoint'

# --- checkpoints ------------------------------------------------------------------------------
right "$pts/rsl_rl_gru.csv" "$pts/rsl_rl_gru.pt" --activation elu
right "$pts/rsl_rl_5.csv" "$pts/rsl_rl_5.pt" --activation elu
right "$pts/rsl_rl_5_gru.csv" "$pts/rsl_rl_5_gru.pt" --activation elu
right "$pts/memory_last.csv" "$pts/memory_last.pt" --arch gru:8,dense:16,dense:12,dense:3 --activation elu --squash none
right "$pts/skrl_agent.csv" "$pts/skrl_agent.pt" --activation elu --squash none
right "$pts/rl_games.csv" "$pts/rl_games.pt" --activation elu --squash clip
right "$pts/cleanrl_ppo.csv" "$pts/cleanrl_ppo.pt" --activation tanh --squash none
right "$pts/cleanrl_sac.csv" "$pts/cleanrl_sac.pt" --activation relu --squash tanh
right "$pts/sample_factory.csv" "$pts/sample_factory.pt" --arch dense:8,gru:8,dense:3 --activation elu --squash none
right "$pts/sb3_sac.csv" "$pts/sb3_sac.pt" --activation relu --squash tanh
right "$pts/sb3_dqn.csv" "$pts/sb3_dqn.pt" --activation relu --discrete
right "$pts/legacy_policy.csv" "$pts/legacy_policy.pt" --activation relu --squash tanh

# --- what a file does not say -----------------------------------------------------------------
for command in info run convert compile; do
    case $command in
    info) set -- ;;
    run) set -- --obs "$pts/mlp_state_dict.csv" ;;
    convert) set -- -o "$dir/x.deft" ;;
    compile) set -- -o "$dir/x" ;;
    esac
    expect 1 $command "$pts/mlp_state_dict.pt" "$@"
    says 'does not say the hidden activation, nor what the actions go through'
    says 'mlp_state_dict.pt --activation relu --squash tanh '
done
expect 1 info "$pts/mlp_state_dict.pt" --activation relu
says 'does not say what the actions go through.*pt --squash tanh '
right "$pts/mlp_state_dict.csv" "$pts/mlp_state_dict.pt" --assume

# what was assumed stays: in the warnings, in the image, in the header that is made of it
expect 0 info "$pts/mlp_state_dict.pt" --assume --json
json '[w for w in j["warnings"] if w["code"] == "assumed" and "--activation relu" in w["text"]]'
expect 0 convert "$pts/mlp_state_dict.pt" --assume -o "$dir/x.deft"
says '--squash tanh, which the file does not say'
expect 0 info "$dir/x.deft"
prints 'the hidden activation: --activation relu, which the file does not say'
expect 1 info "$dir/x.deft" --strict
says '--strict: .* assumed'
expect 1 info "$pts/mlp_state_dict.pt" --assume --strict
says '--strict: .* assumed'
expect 0 quantize "$dir/x.deft" --calib "$pts/mlp_state_dict.csv" -o "$dir/q.deft"
expect 0 info "$dir/q.deft" --json
json 'len(j["assumptions"]) == 3 and [w["code"] for w in j["warnings"]] == ["assumed"]'
expect 1 info "$dir/q.deft" --strict
expect 0 compile "$dir/x.deft" -o "$dir/c"
grep -q -e '--activation relu' "$dir"/c/*.h || fail "the header does not say what was assumed"
expect 0 info "$pts/mlp_state_dict.pt" --activation relu --squash tanh --arch dense:16,dense:12,dense:3 --strict

# --- what is not a policy ---------------------------------------------------------------------
not_one() {
    expect 1 info "$dir/not"
    says "$@"
}
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4501234\n' >"$dir/not"
not_one 'Git LFS pointer to a file of 4501234 bytes.*git lfs pull'
cp "$zips/vecnormalize.pkl" "$dir/not"
not_one 'VecNormalize.*--normalizer vecnormalize.pkl'
printf '\211HDF\r\n\032\n' >"$dir/not"
not_one 'HDF5'
printf '\037\213\010' >"$dir/not"
not_one 'gzip archive: unpack it'
python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z: z.write(sys.argv[2], "best/policy.onnx")' \
    "$dir/not" "$src/tests/golden/policies/activation_tanh.onnx"
not_one "an archive that holds 'best/policy.onnx'"
