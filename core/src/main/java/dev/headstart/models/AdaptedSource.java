package dev.headstart.models;

import dev.headstart.io.TensorInfo;
import dev.headstart.io.TensorSource;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/**
 * A base model's checkpoint in which the modules that an adapter holds whole (PEFT's modules_to_save: heads) stand where it has none of their shape: the
 * model can then be built, and the adapter loaded onto it.
 */
final class AdaptedSource implements TensorSource {
    private static final String PREFIX = "base_model.model.";
    private final TensorSource base;
    private final TensorSource adapter;
    private final Map<String, String> whole = new LinkedHashMap<>();
    private final Set<String> names;

    /** @param prefix the base model's name inside its task models, which the base checkpoint's names may lack */
    AdaptedSource(TensorSource base, TensorSource adapter, String prefix) {
        this.base = base;
        this.adapter = adapter;
        boolean prefixed = base.names().stream().anyMatch(n -> n.startsWith(prefix + "."));
        for (String name : adapter.names()) {
            if (name.startsWith(PREFIX) && !name.contains(".lora_")) {
                String own = name.substring(PREFIX.length());
                boolean strip = !prefixed && !prefix.isEmpty() && own.startsWith(prefix + ".");
                String here = strip ? own.substring(prefix.length() + 1) : own;
                if (!base.names().contains(here)
                        || !base.info(here).shape().equals(adapter.info(name).shape())) {
                    whole.put(here, name);
                }
            }
        }
        names = new LinkedHashSet<>(base.names());
        names.addAll(whole.keySet());
    }

    private TensorSource holder(String name) {
        return whole.containsKey(name) ? adapter : base;
    }

    private String stored(String name) {
        return whole.getOrDefault(name, name);
    }

    /** Rows of the last Linear that the adapter holds whole: the number of classes; 0 when there is none. */
    int classes() {
        int rows = 0;
        for (Map.Entry<String, String> e : whole.entrySet()) {
            if (e.getKey().matches("(.*\\.)?(classifier|score|out_proj)\\.weight")) {
                rows = Math.toIntExact(adapter.info(e.getValue()).shape().get(0));
            }
        }
        return rows;
    }

    @Override
    public Set<String> names() {
        return names;
    }

    @Override
    public TensorInfo info(String name) {
        return holder(name).info(stored(name));
    }

    @Override
    public Tensor tensor(String name) {
        return holder(name).tensor(stored(name));
    }

    @Override
    public String fileOf(String name) {
        return holder(name).fileOf(stored(name));
    }

    @Override
    public void close() {
        try {
            adapter.close();
        } finally {
            base.close();
        }
    }
}
