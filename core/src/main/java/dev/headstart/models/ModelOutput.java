package dev.headstart.models;

import java.lang.reflect.RecordComponent;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What a model's forward returns: a record whose components are tensors, lists of tensors, or null for what was not asked for. Names are those of
 * transformers' ModelOutput in Java spelling ({@code lastHiddenState}). Closing it frees the tensors; JavaCPP's cleaner does so for outputs that
 * were forgotten.
 */
public interface ModelOutput extends AutoCloseable {
    /** The tensors under transformers' names, lists flattened with an index: {@code last_hidden_state}, {@code hidden_states.0}. */
    default Map<String, Tensor> tensors() {
        Map<String, Tensor> all = new LinkedHashMap<>();
        for (RecordComponent c : getClass().getRecordComponents()) {
            String name = c.getName().replaceAll("([A-Z])", "_$1").toLowerCase(Locale.ROOT);
            Object value;
            try {
                value = c.getAccessor().invoke(this);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e);
            }
            if (value instanceof Tensor t) {
                all.put(name, t);
            } else if (value instanceof ModelOutput o) {
                o.tensors().forEach((k, t) -> all.put(name + "." + k, t));
            } else if (value instanceof List<?> list) {
                for (int i = 0; i < list.size(); i++) {
                    if (list.get(i) instanceof Tensor t) {
                        all.put(name + "." + i, t);
                    }
                }
            }
        }
        return all;
    }

    @Override
    default void close() {
        tensors().values().forEach(Tensor::close);
    }
}
