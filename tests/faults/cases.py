"""The faults that kdrun must meet, by number, each with the tests that show how it does.

Numbers: 1-17 configuration, 18-26 data, 27-37 models and checkpoints, 38-50 numbers, 51-66 process
and storage, 67-74 sweeps, 75-81 distributed training, 82-89 security.
"""

_CLI = "tests/cli/test_entry.py::test_a_wrong_command_gives_one_line_its_code_and_leaves_nothing"
_PARSE = "tests/config/test_parse.py::test_a_wrong_value_is_told_in_one_line_with_what_is_allowed"
_ANY = "tests/config/test_any_value.py::test_any_text_on_the_command_line_is_taken_or_refused"
_FOLDER = "tests/data/readers/test_image_folders.py::test_a_faulty_folder_is_named_with_the_remedy"
_LEFT_OVER = (
    "tests/data/test_memory_split.py"
    "::test_a_training_pass_visits_every_image_once_but_a_single_left_over"
)
_FEW = "tests/losses/test_rkd.py::test_too_few_samples_give_a_differentiable_zero_and_one_warning"
_LOSS = "tests/losses/test_every_loss.py::"
_FILE = "tests/models/weights/test_safe_load.py::"
_WEIGHTS = "tests/models/weights/test_state_dict.py::"
_RESUME = "tests/runs/test_resume.py::"
_MATRIX = "tests/faults/test_crash_matrix.py"
_KILLED = f"{_MATRIX}::test_runs_killed_at_random_moments_end_as_if_left_alone"
_DISK = (
    "tests/faults/test_damage.py"
    "::test_a_disk_that_fails_from_some_write_on_is_told_and_loses_nothing"
)
_STOPPED = f"{_RESUME}test_a_run_stopped_inside_an_epoch_ends_as_if_never_stopped"
_SWEEP = "tests/faults/test_sweep_processes.py::"
_OWN = "tests/faults/test_cases.py::test_case_"
_STRANGER = f"{_RESUME}test_a_strangers_config_is_refused_in_one_line"
_CODE = f"{_FILE}test_code_in_a_checkpoint_does_not_run"

SHOWN: dict[int, tuple[str, ...]] = {
    1: (_CLI,),
    2: (_CLI,),
    3: (_PARSE,),
    4: (_PARSE, "tests/config/test_parse.py::test_a_mixture_without_any_weight_is_refused"),
    5: (_PARSE,),
    6: (_LEFT_OVER, f"{_OWN}6_a_batch_larger_than_the_data_is_all_of_them"),
    7: (_LEFT_OVER, _FEW),
    8: (f"{_LOSS}test_small_batches_and_two_classes_have_finite_value_and_gradient",),
    9: (
        "tests/features/test_extractor.py::test_an_unknown_layer_is_refused_before_any_hook_is_set",
        "tests/runs/test_runner.py"
        "::test_a_layer_that_cannot_be_hooked_is_refused_before_anything_is_written",
    ),
    10: (
        "tests/losses/test_hidden_terms.py::test_unequal_numbers_of_tokens_are_refused",
        "tests/features/test_layer_pairs.py::test_malformed_pairs_are_refused",
    ),
    11: (_ANY,),
    12: (_CLI,),
    13: (_CLI, f"{_RESUME}test_an_override_that_cannot_be_followed_is_refused"),
    14: (
        f"{_RESUME}test_what_is_no_run_is_told",
        f"{_RESUME}test_an_override_that_cannot_be_followed_is_refused",
    ),
    16: (_PARSE, "tests/runs/test_runner.py::test_a_seed_may_be_as_long_as_a_date"),
    17: (f"{_OWN}17_a_launcher_that_is_not_installed_is_told",),
    18: (_FOLDER, _CLI),
    19: ("tests/data/test_folder_split.py::test_an_unreadable_image_is_named_on_one_line",),
    20: ("tests/data/test_load.py::test_inconsistent_images_are_refused",),
    21: (_FOLDER, "tests/data/test_splitting.py::test_a_class_missing_from_the_test_is_named"),
    22: ("tests/data/test_splitting.py::test_too_few_images_are_refused_with_the_remedy",),
    23: (
        "tests/data/test_load.py::test_inconsistent_images_are_refused",
        "tests/data/test_folder_split.py::test_images_of_every_mode_become_rgb",
    ),
    24: (f"{_RESUME}test_changed_data_are_noticed",),
    25: (
        "tests/data/test_folder_split.py"
        "::test_a_killed_worker_is_a_data_error_with_the_cause_and_the_remedy",
    ),
    27: (f"{_FILE}test_missing_files_and_folders_are_named_with_a_near_miss",),
    28: (f"{_FILE}test_damaged_files_are_not_readable_checkpoints",),
    29: (_CODE, f"{_FILE}test_code_in_a_plain_pickle_does_not_run"),
    30: (
        f"{_WEIGHTS}test_a_head_for_other_classes_is_named_as_such",
        f"{_LOSS}test_unequal_widths_are_refused_not_broadcast",
    ),
    31: (
        f"{_WEIGHTS}test_missing_and_unexpected_names_are_counted_and_the_first_named",
        "tests/models/weights/test_given.py::test_a_line_says_what_is_used",
    ),
    32: (f"{_WEIGHTS}test_non_finite_values_name_their_tensor",),
    33: ("tests/runs/test_runner.py::test_a_teacher_at_chance_is_refused",),
    34: (
        "tests/models/test_batchnorm_folding.py::test_given_model_is_not_changed_and_the_copy_is_frozen",
        f"{_LOSS}test_teacher_takes_no_gradient",
    ),
    35: (
        "tests/training/test_checkpoint.py::test_a_damaged_newest_checkpoint_is_passed_over_and_named",
        "tests/training/test_checkpoint.py"
        "::test_without_a_whole_checkpoint_nothing_is_used_and_nothing_moved",
    ),
    36: (f"{_OWN}36_a_checkpoint_of_another_format_is_refused",),
    37: (f"{_OWN}37_tied_weights_are_saved",),
    38: ("tests/training/test_nonfinite.py::test_a_teachers_bad_logits_are_named",),
    39: (
        "tests/training/test_nonfinite.py::test_skipping_is_as_if_the_batch_had_not_been",
        "tests/training/test_nonfinite.py::test_the_saved_batch_reproduces_the_failure",
        "tests/training/test_loop.py::test_a_loss_that_is_not_finite_never_reaches_the_weights_on_a_cpu",
    ),
    40: (
        "tests/training/test_nonfinite.py::test_a_bad_gradient_of_a_finite_loss_never_reaches_the_weights",
    ),
    41: ("tests/losses/test_logit_term.py::test_a_term_without_weight_is_not_computed",),
    42: (
        f"{_LOSS}test_constant_inputs_have_finite_value_and_gradient",
        "tests/losses/test_rkd.py::test_duplicates_and_collapsed_batches_have_finite_gradients",
    ),
    43: (_FEW,),
    44: (
        "tests/losses/test_soft_target.py"
        "::test_standardising_equal_logits_gives_zeros_and_a_finite_gradient",
    ),
    45: (_LEFT_OVER,),
    48: (f"{_LOSS}test_unequal_batches_are_refused_not_broadcast",),
    49: (f"{_LOSS}test_tiny_and_huge_inputs_have_finite_value_and_gradient",),
    50: (f"{_OWN}50_an_accuracy_of_bad_logits_is_never_the_best",),
    51: (_KILLED, "tests/faults/test_mutations.py::test_the_matrix_notices"),
    52: (f"{_SWEEP}test_a_sweep_told_to_stop_leaves_with_75_within_ten_seconds", _STOPPED),
    53: ("tests/faults/test_jobs.py::test_a_second_signal_leaves_at_once_with_its_code",),
    54: (
        _STOPPED,
        "tests/faults/test_jobs.py::test_a_signal_sent_while_a_job_starts_ends_it_without_a_traceback",
    ),
    55: (_KILLED,),
    56: (_DISK, f"{_RESUME}test_a_disk_that_fills_up_leaves_the_last_checkpoint"),
    57: (
        "tests/faults/test_damage.py::test_a_file_system_that_is_full_then_read_only_loses_nothing",
    ),
    58: (_DISK,),
    59: ("tests/store/test_stages.py::test_a_second_process_in_a_run_folder_is_refused",),
    60: ("tests/store/test_stages.py::test_the_lock_of_a_killed_process_is_free",),
    61: ("tests/store/test_stages.py::test_two_runs_of_one_moment_get_two_folders",),
    62: (f"{_RESUME}test_a_moved_output_folder_goes_on_where_it_is",),
    63: (_KILLED, "tests/faults/test_mutations.py::test_the_matrix_notices"),
    64: (
        "tests/training/test_checkpoint_writer.py::test_minutes_are_counted_from_the_last_checkpoint",
    ),
    65: ("tests/runs/test_runner.py::test_memory_that_runs_out_is_told_with_a_remedy",),
    67: (
        f"{_SWEEP}test_a_job_killed_as_for_memory_leaves_the_others_alone_and_is_retried",
        "tests/runs/sweep/test_sweep.py::test_a_job_that_fails_is_told_and_the_others_run",
    ),
    68: (f"{_SWEEP}test_a_killed_sweep_is_gone_on_with_at_once",),
    69: (
        "tests/store/test_stages.py::test_a_folder_that_holds_a_run_is_not_taken_again",
        "tests/runs/sweep/test_begin.py"
        "::test_a_sweep_on_a_sweep_is_refused_before_anything_is_written",
        "tests/report/test_sweep_jobs.py::test_the_run_of_another_job_is_never_shown_as_done",
    ),
    70: ("tests/runs/sweep/test_sweep.py::test_the_same_sweep_again_reuses_every_stage",),
    71: (f"{_OWN}71_folders_of_jobs_are_numbers_whatever_their_values",),
    73: (f"{_SWEEP}test_a_killed_sweep_is_gone_on_with_at_once",),
    74: (f"{_OWN}74_a_failed_job_has_a_finite_score",),
    82: (_CODE, "tests/training/test_checkpoint.py::test_a_malicious_pickle_runs_no_code"),
    83: (_STRANGER, "tests/config/test_any_value.py::test_any_value_is_taken_or_refused"),
    84: (f"{_OWN}84_a_manifest_may_not_name_files_elsewhere",),
    85: (f"{_RESUME}test_a_link_among_the_files_is_refused",),
    86: (_STRANGER,),
    87: (
        f"{_FILE}test_a_packed_archive_is_refused_before_it_is_unpacked",
        f"{_FILE}test_a_shape_beyond_the_file_is_refused_and_not_allocated",
    ),
    15: (f"{_OWN}15_a_chain_that_is_none_is_told",),
    26: (
        "tests/teachers/test_cached_teacher.py::test_a_page_with_a_changed_bit_is_told_and_computed_again",
    ),
    89: (
        "tests/report/test_comparison.py"
        "::test_the_page_shows_the_figures_and_is_inert_for_hostile_settings",
    ),
    88: (f"{_OWN}88_hydra_leaves_no_files_of_its_own",),
}

NOT_HERE: dict[int, str] = {
    46: "fp16 with a scaler needs a GPU",
    47: "no data set has labels that are left out",
    66: "a network file system without locks takes two machines",
    72: "a sweep has no limit of failures",
    **dict.fromkeys(range(75, 82), "a run is one process"),
}
