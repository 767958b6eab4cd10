package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.testing.Shared;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A model whose head does not fit the task: the message says which tasks it can do. */
class WrongHeadTest {
    @ParameterizedTest
    @CsvSource({
        "zero-shot-classification, fill-mask, BertForMaskedLM, fill-mask",
        "text-ranking, sentence-all-modes, BertModel, sentence-embedding",
        "question-answering, ranking-sigmoid, BertForSequenceClassification, text-ranking",
        "fill-mask, sentence-t5, T5EncoderModel, T5Model", // a family that has no such class
    })
    void namesWhatTheModelCanDo(String task, String model, String found, String can) {
        String folder = Shared.repositoryRoot()
                .resolve("core/src/test/resources/pipelines/" + model + "/model")
                .toString();
        PipelineOptions options =
                PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice("cpu"));
        assertThatThrownBy(() -> Pipeline.of(task, folder, options).close())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll(List.of(found, can).toArray(CharSequence[]::new))
                .hasMessageNotContaining("\n");
    }
}
