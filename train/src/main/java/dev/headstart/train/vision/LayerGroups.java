package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Parameter;
import dev.headstart.train.ParameterGroup;
import dev.headstart.train.TrainerCallback;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A model's parameters from the head down: 0 is the head, then block by block, last the stem or the embeddings. Lower groups may learn more slowly and
 * be unfrozen later (Howard and Ruder 2018, "Universal Language Model Fine-tuning": discriminative rates, gradual unfreezing).
 */
final class LayerGroups implements TrainerCallback {
    private static final Pattern BLOCK =
            Pattern.compile("^(.*?\\b(?:layers?|stages|blocks)\\.\\d+(?:\\.(?:layers|blocks)\\.\\d+)?)\\.");

    private final PreTrainedModel<?> model;
    private final List<List<Parameter>> groups;
    private final double over;
    private long steps;
    private int open;

    /** @param over part of all steps in which the groups are unfrozen one after the other; 0: nothing is frozen */
    LayerGroups(PreTrainedModel<?> model, double over) {
        if (!(over >= 0 && over <= 1)) {
            throw new HeadstartException(
                    "--gradual-unfreezing must be a part of the training in [0, 1], found " + over);
        }
        this.model = model;
        this.over = over;
        this.groups = groups(model);
        this.open = groups.size();
    }

    private static List<List<Parameter>> groups(PreTrainedModel<?> model) {
        List<Parameter> head = new ArrayList<>();
        Map<String, List<Parameter>> blocks = new LinkedHashMap<>();
        String last = "";
        for (Parameter p : model.namedParameters().values()) {
            if (p.isBuffer()) {
                continue;
            }
            Matcher block = BLOCK.matcher(p.name());
            if (p.isHead()) {
                head.add(p);
                continue;
            }
            if (block.find()) {
                last = block.group(1);
            } // what stands before the first block is a group, what stands after the last belongs to it
            blocks.computeIfAbsent(last, k -> new ArrayList<>()).add(p);
        }
        List<List<Parameter>> all = new ArrayList<>(blocks.values());
        Collections.reverse(all);
        all.add(0, head);
        return all;
    }

    /** How many there are. */
    int size() {
        return groups.size();
    }

    /** The parameters of a group. */
    List<Parameter> group(int i) {
        return groups.get(i);
    }

    /** For the optimizer: group i learns at decay^i of the rate; biases and norms have no weight decay. */
    List<ParameterGroup> rates(double decay, double weightDecay) {
        if (!(decay > 0 && decay <= 1)) {
            throw new HeadstartException("--layer-decay must be above 0 and at most 1, found " + decay);
        }
        List<ParameterGroup> all = new ArrayList<>();
        for (int i = 0; i < groups.size(); i++) {
            double rate = Math.pow(decay, i);
            for (ParameterGroup g : ParameterGroup.split(groups.get(i), weightDecay, ParameterGroup::isBiasOrNorm)) {
                all.add(new ParameterGroup(g.parameters(), g.weightDecay(), rate));
            }
        }
        return all;
    }

    /** Freezes all but the head; the steps of the training will open the rest. */
    void close() {
        open(1);
    }

    @Override
    public void onBegin(long first, long total) {
        steps = total;
        unfreeze(first - 1);
    }

    @Override
    public void onStep(Step step) {
        unfreeze(step.step());
    }

    /** How many groups learn after so many steps. */
    int openAfter(long done, long total) {
        return over == 0
                ? groups.size()
                : (int) Math.min(groups.size(), 1 + Math.floor(done / (over * total) * (groups.size() - 1)));
    }

    private void unfreeze(long done) {
        int n = openAfter(done, steps);
        if (n != open) {
            open(n);
            model.train();
        }
    }

    private void open(int n) {
        open = n;
        model.exclusive(() -> {
            for (int i = 0; i < groups.size(); i++) {
                boolean frozen = i >= n;
                groups.get(i).forEach(p -> p.freeze(frozen));
            }
        });
    }
}
