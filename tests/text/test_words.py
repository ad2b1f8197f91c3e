from clinical_tl.text.words import Words


def test_distance_in_chinese_is_counted_in_letters_and_not_in_sentences():
    text = "患者有高血压 CT正常"
    words = Words.of(text)
    assert [text[s:e] for s, e in zip(words.starts, words.ends, strict=True)] == [
        *"患者有高血压",
        "CT",
        *"正常",
    ]
    assert len(Words.of("no blank-less script, 3 mg")) == 5
